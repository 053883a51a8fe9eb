//! The shape of JSON: which keys, and which types under them. Values do not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How a difference ends that a recorded key makes which did not come out.
pub(super) const MISSING: &str = " is missing";
/// How a difference ends that a key makes which was not recorded.
pub(super) const UNRECORDED: &str = " is not in the recording";

/// The shape of one or of many values seen in the same place.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    types: BTreeSet<&'static str>,
    /// Members of objects, and in how many of them each was.
    members: BTreeMap<String, (Shape, usize)>,
    objects: usize,
    /// All elements of arrays together.
    elements: Option<Box<Shape>>,
}

impl Shape {
    /// The shape of a value.
    pub(super) fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(value);
        shape
    }

    fn add(&mut self, value: &Value) {
        self.types.insert(type_of(value));
        match value {
            Value::Object(members) => {
                self.objects += 1;
                for (name, member) in members {
                    let (shape, count) = self.members.entry(name.clone()).or_default();
                    shape.add(member);
                    *count += 1;
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.elements.get_or_insert_default().add(element);
                }
            }
            _ => {}
        }
    }

    fn always(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|(_, count)| *count == self.objects)
    }
}

/// Where two shapes differ; empty when they are the same. A key that only
/// some elements of a recorded array have may be there or not.
pub(super) fn differences(recorded: &Shape, got: &Shape) -> Vec<String> {
    let mut found = Vec::new();
    compare("", recorded, got, &mut found);
    found
}

fn compare(path: &str, recorded: &Shape, got: &Shape, found: &mut Vec<String>) {
    if !same_types(recorded, got) {
        found.push(format!("{} is {:?}, recorded {:?}", shown(path), got.types, recorded.types));
        return;
    }
    for (name, (shape, _)) in &recorded.members {
        match got.members.get(name) {
            Some((other, _)) => compare(&format!("{path}.{name}"), shape, other, found),
            None if recorded.always(name) && got.objects > 0 => {
                found.push(format!("{}.{name}{MISSING}", shown(path)));
            }
            None => {}
        }
    }
    for name in got.members.keys().filter(|name| !recorded.members.contains_key(*name)) {
        if recorded.objects > 0 {
            found.push(format!("{}.{name}{UNRECORDED}", shown(path)));
        }
    }
    match (&recorded.elements, &got.elements) {
        (Some(recorded), Some(got)) => compare(&format!("{path}[]"), recorded, got, found),
        (Some(_), None) => found.push(format!("{} is empty, recorded it is not", shown(path))),
        (None, Some(_)) if recorded.types.contains("array") => {
            found.push(format!("{} is not empty, recorded it is", shown(path)));
        }
        _ => {}
    }
}

/// Types agree when neither side has one the other lacks; null may stand for
/// any text, as the value of a property may.
fn same_types(recorded: &Shape, got: &Shape) -> bool {
    let firm = |shape: &Shape| -> BTreeSet<&'static str> {
        shape.types.iter().copied().filter(|kind| *kind != "null").collect()
    };
    let (one, two) = (firm(recorded), firm(got));
    let text = |set: &BTreeSet<&str>| set.is_empty() || *set == BTreeSet::from(["string"]);
    one == two || (text(&one) && text(&two))
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the body" } else { path }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn diff(recorded: Value, got: Value) -> Vec<String> {
        differences(&Shape::of(&recorded), &Shape::of(&got))
    }

    #[test]
    fn values_do_not_count_but_keys_and_types_do() {
        assert!(
            diff(
                json!({"a": 1, "b": [{"c": "x"}]}),
                json!({"a": 2, "b": [{"c": "y"}, {"c": "z"}]})
            )
            .is_empty()
        );
        assert_eq!(
            diff(json!({"a": 1}), json!({"a": "1"})),
            [".a is {\"string\"}, recorded {\"number\"}"]
        );
        assert_eq!(diff(json!({"a": 1}), json!({})), ["the body.a is missing"]);
        assert_eq!(diff(json!({}), json!({"a": 1})), ["the body.a is not in the recording"]);
        assert_eq!(diff(json!([1]), json!([])), ["the body is empty, recorded it is not"]);
    }

    #[test]
    fn a_key_of_some_elements_is_optional() {
        let recorded = json!([{"a": 1, "b": 2}, {"a": 1}]);
        assert!(diff(recorded.clone(), json!([{"a": 1}])).is_empty());
        assert!(diff(recorded.clone(), json!([{"a": 1, "b": 2}])).is_empty());
        assert_eq!(diff(recorded, json!([{"b": 2}])), ["[].a is missing"]);
    }

    #[test]
    fn null_may_stand_for_a_text_only() {
        assert!(diff(json!({"a": null}), json!({"a": "x"})).is_empty());
        assert_eq!(diff(json!({"a": null}), json!({"a": 1})).len(), 1);
    }
}
