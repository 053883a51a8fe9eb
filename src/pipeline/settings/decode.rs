//! Settings structs out of the YAML tree, through serde, with every error at
//! its line and key path.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::yaml::{Entry, KeyPath, Node, Place, Scalar, Step, Value};
use crate::transform::nearest;

/// One thing that serde refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Where, once the error has passed the node it came from.
    pub(super) at: Option<(KeyPath, Place)>,
    /// The required key that is not there, if that is the trouble.
    pub(super) missing: Option<String>,
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), at: None, missing: None }
    }

    /// Fills in the place unless a node further in has done so.
    fn located(mut self, path: &KeyPath, place: Place) -> Self {
        self.at.get_or_insert_with(|| (path.clone(), place));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown("key", field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown("value", variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            reason: format!("The key `{field}` is missing"),
            at: None,
            missing: Some(field.into()),
        }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("Expected {}, found {}", wanted(expected), kind_of(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("Expected {}, found {}", wanted(expected), kind_of(found)))
    }
}

/// What was expected, in the words of a settings file.
fn wanted(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" => "text".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list".into(),
        "a map" => "a map of keys".into(),
        "struct SecretRefFields" => {
            "a reference to where the secret is kept, `{ env: NAME }` or `{ file: PATH }`".into()
        }
        _ if text.starts_with("struct ") => "a map of keys".into(),
        _ => text,
    }
}

/// What was found instead. Never the value: it may be a secret that stands
/// where a reference to it belongs.
fn kind_of(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Map => "a map of keys",
        de::Unexpected::Seq => "a list",
        de::Unexpected::Unit => "nothing",
        de::Unexpected::Bool(_) => "`true` or `false`",
        de::Unexpected::Signed(_) | de::Unexpected::Unsigned(_) => "a whole number",
        de::Unexpected::Float(_) => "a number with a fraction",
        _ => "another text",
    }
}

fn unknown(kind: &str, found: &str, expected: &[&str]) -> String {
    let advice = match nearest(found, expected.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known: `{}`", expected.join("`, `")),
    };
    format!("Unknown {kind} `{found}`: {advice}")
}

/// Reads `T` from the tree, and every refusal on the way: what is refused is
/// taken out and the rest read again, so that one run names all mistakes.
pub(super) fn decode<T: de::DeserializeOwned>(root: &Node) -> Result<T, Vec<Refusal>> {
    let mut tree = root.clone();
    let mut refusals: Vec<Refusal> = Vec::new();
    loop {
        let decoder = Decoder { node: &tree, path: KeyPath::default() };
        let refusal = match T::deserialize(decoder) {
            Ok(value) if refusals.is_empty() => return Ok(value),
            Ok(_) => return Err(refusals),
            Err(refusal) => refusal.located(&KeyPath::default(), tree.place),
        };
        let path = refusal.at.clone().map(|(path, _)| path).unwrap_or_default();
        let consequence = refusal.missing.is_some() && refusals.iter().any(|r| within(r, &path));
        let removable = refusal.missing.is_none() && tree.remove(&path);
        if !consequence {
            refusals.push(refusal);
        }
        if !removable {
            return Err(refusals);
        }
    }
}

/// Whether a refusal lies inside the node at a path, so that a key found
/// missing there may be the very one that was taken out.
fn within(refusal: &Refusal, path: &KeyPath) -> bool {
    refusal.at.as_ref().is_some_and(|(at, _)| at.0.starts_with(&path.0))
}

struct Decoder<'a> {
    node: &'a Node,
    path: KeyPath,
}

impl<'a> Decoder<'a> {
    fn locate(&self) -> impl FnOnce(Refusal) -> Refusal + use<'a> {
        let (path, place) = (self.path.clone(), self.node.place);
        move |refusal| refusal.located(&path, place)
    }

    fn scalar(&self) -> Option<&'a Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Reads a typed scalar from its text; a node of another kind is refused
    /// by the visitor, which knows what it expected.
    fn parsed<V: Visitor<'a>, N: std::str::FromStr>(
        self,
        visitor: V,
        visit: impl FnOnce(V, N) -> Result<V::Value, Refusal>,
    ) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        let parsed = self
            .scalar()
            .filter(|scalar| scalar.plain)
            .and_then(|scalar| scalar.text.replace('_', "").parse::<N>().ok());
        match parsed {
            Some(number) => visit(visitor, number).map_err(locate),
            None => de::Deserializer::deserialize_any(self, visitor),
        }
    }
}

fn as_bool(scalar: &Scalar) -> Option<bool> {
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" if scalar.plain => Some(true),
        "false" | "False" | "FALSE" if scalar.plain => Some(false),
        _ => None,
    }
}

/// The type YAML's core schema gives a scalar.
fn visit_scalar<'a, V: Visitor<'a>>(scalar: &'a Scalar, visitor: V) -> Result<V::Value, Refusal> {
    if scalar.is_null() {
        return visitor.visit_unit();
    }
    if let Some(flag) = as_bool(scalar) {
        return visitor.visit_bool(flag);
    }
    if scalar.plain {
        if let Ok(number) = scalar.text.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = scalar.text.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        let numeric = scalar.text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        if let Some(number) = numeric.then(|| scalar.text.parse::<f64>().ok()).flatten() {
            return visitor.visit_f64(number);
        }
    }
    visitor.visit_borrowed_str(&scalar.text)
}

macro_rules! read_numbers {
    ($($method:ident => $visit:ident: $number:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.parsed::<V, $number>(visitor, |visitor, number| visitor.$visit(number))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Decoder<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        match &self.node.value {
            Value::Scalar(scalar) => visit_scalar(scalar, visitor),
            Value::List(nodes) => {
                visitor.visit_seq(Items { nodes: nodes.iter().enumerate(), path: &self.path })
            }
            Value::Map(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
                path: &self.path,
            }),
        }
        .map_err(locate)
    }

    read_numbers! {
        deserialize_u8 => visit_u8: u8, deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32, deserialize_u64 => visit_u64: u64,
        deserialize_i8 => visit_i8: i8, deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32, deserialize_i64 => visit_i64: i64,
        deserialize_f32 => visit_f32: f32, deserialize_f64 => visit_f64: f64
    }

    /// Text is taken as written, quoted or not: a label `2024` is no number.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        match self.scalar() {
            Some(scalar) if !scalar.is_null() => {
                visitor.visit_borrowed_str(&scalar.text).map_err(locate)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        if self.scalar().is_some_and(Scalar::is_null) {
            return visitor.visit_none().map_err(locate);
        }
        visitor.visit_some(self).map_err(locate)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        visitor.visit_newtype_struct(self).map_err(locate)
    }

    /// A section left empty (`deals:`) is one with nothing but defaults.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        if self.scalar().is_some_and(Scalar::is_null) {
            let empty = Entries { entries: [].iter(), value: None, path: &self.path };
            return visitor.visit_map(empty).map_err(locate);
        }
        self.deserialize_any(visitor)
    }

    /// `overwrite`, or `{ forward_only: […] }` with exactly one key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let locate = self.locate();
        match &self.node.value {
            Value::Scalar(scalar) => {
                visitor.visit_enum(scalar.text.as_str().into_deserializer()).map_err(locate)
            }
            Value::Map(entries) if entries.len() == 1 => {
                visitor.visit_enum(Choice { entry: &entries[0], path: &self.path }).map_err(locate)
            }
            _ => Err(locate(Refusal::new("Expected one name, or one key with its value"))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a, 'p> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'p KeyPath,
}

impl<'a> de::SeqAccess<'a> for Items<'a, '_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refusal> {
        let Some((index, node)) = self.nodes.next() else { return Ok(None) };
        seed.deserialize(Decoder { node, path: self.path.child(Step::Index(index)) }).map(Some)
    }
}

struct Entries<'a, 'p> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    path: &'p KeyPath,
}

impl<'a> de::MapAccess<'a> for Entries<'a, '_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'a, Refusal> = entry.key.as_str().into_deserializer();
        let path = self.path.child(Step::Key(entry.key.clone()));
        seed.deserialize(key).map(Some).map_err(|refusal| refusal.located(&path, entry.key_place))
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Refusal> {
        let entry = self.value.take().expect("a value is asked for after its key");
        let path = self.path.child(Step::Key(entry.key.clone()));
        seed.deserialize(Decoder { node: &entry.node, path })
    }
}

/// A variant written as a key with its value.
struct Choice<'a, 'p> {
    entry: &'a Entry,
    path: &'p KeyPath,
}

impl<'a, 'p> de::EnumAccess<'a> for Choice<'a, 'p> {
    type Error = Refusal;
    type Variant = Decoder<'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Refusal> {
        let path = self.path.child(Step::Key(self.entry.key.clone()));
        let key: StrDeserializer<'a, Refusal> = self.entry.key.as_str().into_deserializer();
        let variant = seed
            .deserialize(key)
            .map_err(|refusal: Refusal| refusal.located(&path, self.entry.key_place))?;
        Ok((variant, Decoder { node: &self.entry.node, path }))
    }
}

impl<'a> de::VariantAccess<'a> for Decoder<'a> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        let locate = self.locate();
        Err(locate(Refusal::new("This choice takes no value: write its name alone")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Refusal> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value, Refusal> {
        de::Deserializer::deserialize_any(self, visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        de::Deserializer::deserialize_map(self, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default)]
        limit: Option<u32>,
        #[serde(default)]
        ratio: f64,
        #[serde(default)]
        strict: bool,
        #[serde(default)]
        rules: BTreeMap<String, Rule>,
        #[serde(default)]
        loose: Option<Loose>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Rule {
        Keep,
        Only(Vec<String>),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Loose {
        Number(i64),
        Text(String),
    }

    fn read(text: &str) -> Result<Sample, Vec<Refusal>> {
        decode(&Node::parse(text).expect("valid YAML"))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let sample = read(
            "name: 2024\nlimit: 1_000\nratio: 0.5\nstrict: true\nloose: -3\n\
             rules: { a: keep, b: { only: [x, \"1\"] } }\n",
        )
        .expect("valid settings");
        let rules = BTreeMap::from([
            ("a".into(), Rule::Keep),
            ("b".into(), Rule::Only(vec!["x".into(), "1".into()])),
        ]);
        let expected = Sample {
            name: "2024".into(),
            limit: Some(1000),
            ratio: 0.5,
            strict: true,
            rules,
            loose: Some(Loose::Number(-3)),
        };
        assert_eq!(sample, expected);
    }

    #[test]
    fn all_mistakes_are_named_with_their_places() {
        let refusals = read("name: x\nlimt: 5\nstrict: maybe\nrules:\n  a: kepe\n  b: 3\n")
            .expect_err("four mistakes");
        let seen: Vec<_> = refusals
            .iter()
            .map(|refusal| {
                let (path, place) = refusal.at.as_ref().expect("located");
                (path.to_string(), place.line, refusal.reason.as_str())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("limt".into(), 2, "Unknown key `limt`: did you mean `limit`?"),
                ("strict".into(), 3, "Expected `true` or `false`, found another text"),
                ("rules.a".into(), 5, "Unknown value `kepe`: did you mean `keep`?"),
                ("rules.b".into(), 6, "Unknown value `3`: known: `keep`, `only`"),
            ]
        );
    }

    #[test]
    fn a_missing_key_is_named_once_and_not_blamed_on_its_own_mistake() {
        let refusals = read("limit: 1\n").expect_err("no name");
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].reason, "The key `name` is missing");
        let refusals = read("name: [a]\n").expect_err("a list is no name");
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].reason, "Expected text, found a list");
    }
}
