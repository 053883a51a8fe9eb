//! Calculated properties: the formula language of section 9 of the API
//! reference, worked out whenever a record is read.
//!
//! A formula that does not parse is taken and has no value. Formulas see
//! plain properties only, not each other.

/// How deep a formula may nest.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
    Flag(bool),
    /// Of a property without a value, and of all that hangs on it.
    Nothing,
}

/// The value of a formula over the properties that `lookup` knows; none if it
/// has none.
pub(crate) fn evaluate(formula: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let tokens = tokens(formula)?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, lookup };
    let value = reader.either()?;
    if reader.at < tokens.len() {
        return None;
    }
    match value {
        Value::Number(number) => number.is_finite().then(|| number.to_string()),
        Value::Text(text) => Some(text),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::Nothing => None,
    }
}

fn tokens(formula: &str) -> Option<Vec<Token>> {
    const SIGNS: [&str; 13] = ["<=", ">=", "!=", "<", ">", "=", "+", "-", "*", "/", "(", ")", ","];
    let mut tokens = Vec::new();
    let mut rest = formula.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' || first == '\'' {
            let end = rest[1..].find(first)? + 1;
            tokens.push(Token::Text(rest[1..end].to_owned()));
            end + 1
        } else if first.is_ascii_digit() || first == '.' {
            let number = |letter: char| !letter.is_ascii_digit() && letter != '.';
            let end = rest.find(number).unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..end].parse().ok()?));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let word = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
            let end = rest.find(word).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_ascii_lowercase()));
            end
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// Reads and works out at once: there are no side effects to avoid.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn either(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut left = self.both()?;
        while self.word("or") {
            let right = self.both()?;
            left = logic(&left, &right, |one, other| one || other);
        }
        self.depth -= 1;
        Some(left)
    }

    fn both(&mut self) -> Option<Value> {
        let mut left = self.negation()?;
        while self.word("and") {
            let right = self.negation()?;
            left = logic(&left, &right, |one, other| one && other);
        }
        Some(left)
    }

    fn negation(&mut self) -> Option<Value> {
        let mut negated = false;
        while self.word("not") {
            negated = !negated;
        }
        Some(match self.comparison()? {
            Value::Flag(flag) => Value::Flag(flag != negated),
            _ if negated => Value::Nothing,
            other => other,
        })
    }

    fn comparison(&mut self) -> Option<Value> {
        let left = self.sum()?;
        let Some(sign) = self.one_of(&["<=", ">=", "!=", "<", ">", "="]) else { return Some(left) };
        let right = self.sum()?;
        let order = match (&left, &right) {
            (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            (Value::Flag(left), Value::Flag(right)) => Some(left.cmp(right)),
            _ => None,
        };
        let Some(order) = order else { return Some(Value::Nothing) };
        Some(Value::Flag(match sign {
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "!=" => order.is_ne(),
            _ => order.is_eq(),
        }))
    }

    fn sum(&mut self) -> Option<Value> {
        let mut left = self.product()?;
        while let Some(sign) = self.one_of(&["+", "-"]) {
            let right = self.product()?;
            left = arithmetic(&left, &right, sign);
        }
        Some(left)
    }

    fn product(&mut self) -> Option<Value> {
        let mut left = self.signed()?;
        while let Some(sign) = self.one_of(&["*", "/"]) {
            let right = self.signed()?;
            left = arithmetic(&left, &right, sign);
        }
        Some(left)
    }

    fn signed(&mut self) -> Option<Value> {
        let mut negative = false;
        while self.one_of(&["-"]).is_some() {
            negative = !negative;
        }
        let value = self.atom()?;
        match (negative, value) {
            (true, Value::Number(number)) => Some(Value::Number(-number)),
            (true, _) => Some(Value::Nothing),
            (false, value) => Some(value),
        }
    }

    fn atom(&mut self) -> Option<Value> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        match token {
            Token::Number(number) => Some(Value::Number(number)),
            Token::Text(text) => Some(Value::Text(text)),
            Token::Sign("(") => {
                let value = self.either()?;
                self.one_of(&[")"])?;
                Some(value)
            }
            Token::Sign(_) => None,
            Token::Word(word) => match word.as_str() {
                "true" | "false" => Some(Value::Flag(word == "true")),
                "if" => self.choice(),
                name if self.one_of(&["("]).is_some() => self.call(name),
                name => Some(self.number(name)),
            },
        }
    }

    /// `if … then … elseif … then … else … endif`, the `if` being read.
    fn choice(&mut self) -> Option<Value> {
        let mut chosen: Option<Value> = None;
        loop {
            let holds = self.either()? == Value::Flag(true);
            self.word("then").then_some(())?;
            let value = self.either()?;
            if holds && chosen.is_none() {
                chosen = Some(value);
            }
            if self.word("elseif") {
                continue;
            }
            if self.word("else") {
                let value = self.either()?;
                chosen = chosen.or(Some(value));
            }
            self.word("endif").then_some(())?;
            return Some(chosen.unwrap_or(Value::Nothing));
        }
    }

    /// A function, its opening bracket being read.
    fn call(&mut self, name: &str) -> Option<Value> {
        // These name a property instead of taking its value as a number.
        if let ("string" | "bool" | "is_present", Some(Token::Word(of))) =
            (name, self.tokens.get(self.at))
            && self.tokens.get(self.at + 1) == Some(&Token::Sign(")"))
        {
            let held = (self.lookup)(of).filter(|value| !value.is_empty());
            self.at += 2;
            return Some(match (name, held) {
                ("is_present", held) => Value::Flag(held.is_some()),
                (_, None) => Value::Nothing,
                ("bool", Some(value)) => Value::Flag(value == "true"),
                (_, Some(value)) => Value::Text(value),
            });
        }
        let mut given = vec![self.either()?];
        while self.one_of(&[","]).is_some() {
            given.push(self.either()?);
        }
        self.one_of(&[")"])?;
        applied(name, &given)
    }

    fn number(&self, name: &str) -> Value {
        let number = (self.lookup)(name).and_then(|value| value.parse().ok());
        number.map_or(Value::Nothing, Value::Number)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(other)) if other == word);
        self.at += usize::from(found);
        found
    }

    fn one_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Sign(sign)) = self.tokens.get(self.at) else { return None };
        let sign = signs.iter().find(|wanted| *wanted == sign)?;
        self.at += 1;
        Some(sign)
    }
}

fn applied(name: &str, given: &[Value]) -> Option<Value> {
    let numbers = || -> Option<Vec<f64>> {
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        };
        given.iter().map(number).collect()
    };
    let extreme = |take: fn(f64, f64) -> f64| {
        let all = numbers().and_then(|numbers| numbers.into_iter().reduce(take));
        all.map_or(Value::Nothing, Value::Number)
    };
    Some(match (name, given) {
        ("max", _) => extreme(f64::max),
        ("min", _) => extreme(f64::min),
        ("is_present", [value]) => Value::Flag(*value != Value::Nothing),
        ("contains", [Value::Text(text), Value::Text(part)]) => Value::Flag(text.contains(part)),
        ("concatenate", _) => {
            let text = |value: &Value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            };
            let all: Option<Vec<String>> = given.iter().map(text).collect();
            all.map_or(Value::Nothing, |all| Value::Text(all.concat()))
        }
        ("number_to_string", [Value::Number(number)]) => Value::Text(number.to_string()),
        ("string_to_number", [Value::Text(text)]) => {
            text.trim().parse().map_or(Value::Nothing, Value::Number)
        }
        ("string", [Value::Text(text)]) => Value::Text(text.clone()),
        ("bool", [Value::Flag(flag)]) => Value::Flag(*flag),
        ("contains" | "number_to_string" | "string_to_number" | "string" | "bool", _) => {
            Value::Nothing
        }
        _ => return None,
    })
}

fn logic(left: &Value, right: &Value, join: fn(bool, bool) -> bool) -> Value {
    match (left, right) {
        (Value::Flag(left), Value::Flag(right)) => Value::Flag(join(*left, *right)),
        _ => Value::Nothing,
    }
}

fn arithmetic(left: &Value, right: &Value, sign: &str) -> Value {
    let (Value::Number(left), Value::Number(right)) = (left, right) else { return Value::Nothing };
    Value::Number(match sign {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        _ => left / right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worked_out(formula: &str) -> Option<String> {
        let lookup = |name: &str| match name {
            "amount" => Some("12.5".to_owned()),
            "seats" => Some("4".to_owned()),
            "city" => Some("Köln".to_owned()),
            "active" => Some("true".to_owned()),
            _ => None,
        };
        evaluate(formula, &lookup)
    }

    #[test]
    fn formulas_are_worked_out() {
        for (formula, value) in [
            ("amount * seats", "50"),
            ("1 + 2 * 3 - 4 / 2", "5"),
            ("(1 + 2) * -3", "-9"),
            ("max(amount, seats, 1)", "12.5"),
            ("min(amount, seats)", "4"),
            ("if seats > 10 then 1 elseif seats >= 4 then 2 else 3 endif", "2"),
            ("if bool(active) and not (seats = 5) then \"yes\" else 'no' endif", "yes"),
            ("contains(string(city), 'öl')", "true"),
            ("concatenate(string(city), \"!\", number_to_string(seats))", "Köln!4"),
            ("string_to_number(\"7\") + 1", "8"),
            ("is_present(missing)", "false"),
            ("seats != 4 or is_present(amount)", "true"),
        ] {
            assert_eq!(worked_out(formula).as_deref(), Some(value), "{formula}");
        }
    }

    #[test]
    fn what_cannot_be_worked_out_has_no_value() {
        for formula in [
            "missing + 1",
            "amount / 0",
            "city * 2",
            "amount +",
            "amount amount",
            "launch(amount)",
            "\"open",
            "",
            "if amount then 1",
        ] {
            assert_eq!(worked_out(formula), None, "{formula}");
        }
        assert_eq!(worked_out(&"(".repeat(100_000)), None);
        assert_eq!(
            worked_out(&format!("{}1{}", "(".repeat(30), ")".repeat(30))).as_deref(),
            Some("1")
        );
    }
}
