//! One call and its answer, apart from how they travel.

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::errors::{JSON, Refusal, Refused};
use super::paths::Edition;

/// What a caller asks.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Bytes,
    /// Whether the caller accepts JSON by name.
    pub(crate) json_wanted: bool,
    pub(crate) correlation_id: String,
    pub(crate) edition: Edition,
    /// What the path's placeholders stood for, decoded.
    pub(crate) names: Vec<String>,
}

impl Call {
    /// The placeholder at a position.
    pub(crate) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// All values of a query parameter, decoded.
    pub(crate) fn queries<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.filter_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name) == key).then(|| decode(value))
        })
    }

    /// The first value of a query parameter; an empty one counts as absent.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        self.queries(key).map(Cow::into_owned).find(|value| !value.is_empty())
    }

    /// A comma list, a repeated parameter, or both.
    pub(crate) fn query_list(&self, key: &str) -> Vec<String> {
        let values = self.queries(key);
        values
            .flat_map(|value| {
                value.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>()
            })
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// A flag that is false unless it reads `true`.
    pub(crate) fn query_flag(&self, key: &str) -> bool {
        self.query(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A whole number, or a refusal.
    pub(crate) fn query_number(&self, key: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.query(key) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                Err(Refusal::invalid(format!("Unable to parse value for query parameter: {key}"))
                    .into())
            }
        }
    }

    /// How many results to give. What HubSpot says to 0 is not known: refusing
    /// it is the reading that a client must survive.
    pub(crate) fn query_limit(&self, usual: u64, largest: u64) -> Result<u64, Refused> {
        let limit = self.query_number("limit")?.unwrap_or(usual);
        if limit > largest {
            let message = format!("limit must be less than or equal to {largest}, was {limit}");
            return Err(Refusal::invalid(message).into());
        }
        if limit == 0 {
            let message = "limit must be greater than or equal to 1, was 0";
            return Err(Refusal::invalid(message).into());
        }
        Ok(limit)
    }

    /// The body, a JSON object, or the refusal that HubSpot's parser would
    /// answer.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        self.parse::<Object<T>>().map(|object| object.0)
    }

    /// The body, a bare array of objects.
    pub(crate) fn json_objects<T: DeserializeOwned>(&self) -> Result<Vec<T>, Refused> {
        let items: Vec<Object<T>> = self.parse()?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }

    /// The body, a bare array of texts.
    pub(crate) fn json_texts(&self) -> Result<Vec<Text>, Refused> {
        self.parse()
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(&self.body).map_err(|error| json_refusal(&error).into())
    }
}

/// A query's name or value in plain text.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    let spaced: Cow<'_, str> =
        if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    match spaced {
        Cow::Borrowed(text) => percent_decode_str(text).decode_utf8_lossy(),
        Cow::Owned(text) => percent_decode_str(&text).decode_utf8_lossy().into_owned().into(),
    }
}

fn json_refusal(error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let place =
        format!("Invalid input JSON on line {}, column {}", error.line().max(1), error.column());
    if let Some(field) =
        text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next())
    {
        return Refusal::invalid(format!("{place}. Some required fields were not set: [{field}]"));
    }
    let cause = match error.is_data() {
        true => "Cannot deserialize value of type".to_owned(),
        false => text.split(" at line ").next().unwrap_or_default().to_owned(),
    };
    Refusal::new(400, format!("{place}: {cause}"))
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What every handler returns.
pub(crate) type Answer = Result<Reply, Refused>;

impl Reply {
    /// An answer with JSON made by hand.
    pub(crate) fn raw(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), content_type: JSON, headers: Vec::new() }
    }

    /// An answer with a JSON value.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, body.to_string())
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self::raw(204, Bytes::new())
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A text that callers also send as a number or a flag, as ids often are.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a text, number or flag")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Text, E> {
                Ok(Text(flag.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A JSON object and nothing else: left to itself, serde takes an array of a
/// struct's fields for the struct, which HubSpot's parser does not.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// For a field that holds a list of objects.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let items = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

/// For a field that holds property values: texts, or what can be written as
/// one.
pub(crate) fn plain_values<'de, D>(deserializer: D) -> Result<Map<String, Value>, D::Error>
where
    D: Deserializer<'de>,
{
    let values = Map::deserialize(deserializer)?;
    match values.values().any(|value| value.is_array() || value.is_object()) {
        true => Err(de::Error::custom("a property value is a text")),
        false => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(query: &str, body: &str) -> Call {
        Call {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: query.to_owned(),
            body: Bytes::from(body.to_owned()),
            json_wanted: true,
            correlation_id: String::new(),
            edition: Edition::Legacy,
            names: Vec::new(),
        }
    }

    #[test]
    fn lists_come_with_commas_or_repeated() {
        let call = call("properties=a,b&properties=c%20d&x=&limit=7", "");
        assert_eq!(call.query_list("properties"), ["a", "b", "c d"]);
        assert_eq!(call.query("x"), None);
        assert_eq!(call.query_number("limit").ok().flatten(), Some(7));
    }

    #[test]
    fn a_missing_field_is_named() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[allow(dead_code, reason = "only its presence is tested")]
            name: String,
        }
        let refusal = call("", "{\"label\":1}").json::<Body>().expect_err("name is missing");
        let (body, _) = refusal.render("id");
        let body: Value = serde_json::from_slice(&body).expect("a refusal is JSON");
        assert_eq!(body["category"], "VALIDATION_ERROR");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|text| text.ends_with("Some required fields were not set: [name]"))
        );
    }

    #[test]
    fn ids_may_be_numbers() {
        let text: Text = serde_json::from_str("51854903509").expect("a number is a text");
        assert_eq!(text.0, "51854903509");
    }
}
