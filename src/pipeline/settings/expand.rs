//! `${VAR}` in settings.
//!
//! Variables are put into scalars after the YAML has been parsed, so that no
//! value of a variable can become a key, a list or another setting.

use super::yaml::{KeyPath, Node, Place};

/// Looks up a variable of the environment.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A `${…}` that cannot be replaced.
pub(super) struct Unexpandable {
    pub(super) path: KeyPath,
    pub(super) place: Place,
    pub(super) reason: String,
}

/// Replaces every variable in a tree; `$${` stands for a plain `${`.
pub(super) fn expand(root: &mut Node, lookup: Lookup<'_>) -> Vec<Unexpandable> {
    let mut problems = Vec::new();
    root.each_scalar(&mut |path, place, scalar| match expanded(&scalar.text, lookup) {
        Ok(text) => scalar.text = text,
        Err(reason) => problems.push(Unexpandable { path: path.clone(), place, reason }),
    });
    problems
}

fn expanded(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        let name = from[2..].split_once('}').filter(|(name, _)| is_variable(name));
        let Some((name, after)) = name else {
            return Err("`${` starts a variable, `${NAME}`: write `$${` for the text itself".into());
        };
        let value = lookup(name).ok_or_else(|| {
            format!("The environment variable `{name}` is not set: set it, or write the value out")
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::yaml::Value;
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "BUCKET" => Some("acme".into()),
            "EVIL" => Some("x }\nhubspot: { base_url: \"http://evil\" }".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_put_in_and_can_be_escaped() {
        assert_eq!(expanded("s3://${BUCKET}/a-${BUCKET}", &lookup), Ok("s3://acme/a-acme".into()));
        assert_eq!(expanded("$${BUCKET} costs $5", &lookup), Ok("${BUCKET} costs $5".into()));
        assert!(expanded("${NOT_THERE}", &lookup).expect_err("unset").contains("`NOT_THERE`"));
        for text in ["${", "${}", "${A B}"] {
            assert!(expanded(text, &lookup).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_value_stays_inside_its_scalar() {
        let mut root = Node::parse("lake: { url: \"${EVIL}\" }\n").expect("valid YAML");
        assert!(expand(&mut root, &lookup).is_empty());
        let Value::Map(entries) = &root.value else { panic!("a map") };
        assert_eq!(entries.len(), 1);
    }
}
