//! Conditions on variables: `caller_email is set and (budget.max > 300000 or need contains 'roof')`.

use serde_json::Value;

use crate::agent::Variables;
use crate::agent::variables::plain_text;

const MAX_DEPTH: usize = 32;

/// Holds a parsed condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Expr);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    IsSet(String, bool),
    Compare(Operand, Op, Operand),
    Truth(Operand),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(String),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// Says, in words, what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            tokens: tokenise(text)?,
            at: 0,
        };
        let expr = parser.or(0)?;
        match parser.next() {
            None => Ok(Self(expr)),
            Some(token) => Err(format!("{} is left over", describe(&token))),
        }
    }

    /// Says whether the condition holds.
    pub fn holds(&self, variables: &Variables) -> bool {
        eval(&self.0, variables)
    }

    /// Returns the variables that the condition names.
    pub fn paths(&self) -> Vec<&str> {
        let mut out = Vec::new();
        collect(&self.0, &mut out);
        out
    }
}

fn collect<'e>(expr: &'e Expr, out: &mut Vec<&'e str>) {
    let mut operand = |o: &'e Operand| {
        if let Operand::Path(path) = o {
            out.push(path);
        }
    };
    match expr {
        Expr::Or(all) | Expr::And(all) => all.iter().for_each(|e| collect(e, out)),
        Expr::Not(inner) => collect(inner, out),
        Expr::IsSet(path, _) => out.push(path),
        Expr::Truth(o) => operand(o),
        Expr::Compare(a, _, b) => {
            operand(a);
            operand(b);
        }
    }
}

fn tokenise(text: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 8] = ["==", "!=", "<=", ">=", "<", ">", "(", ")"];
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Sign(sign));
            rest = rest.get(sign.len()..).unwrap_or_default();
        } else if matches!(first, '\'' | '"') {
            let body = rest.get(1..).unwrap_or_default();
            let Some((inner, after)) = body.split_once(first) else {
                return Err(format!("{first} without its end"));
            };
            out.push(Token::Text(inner.to_owned()));
            rest = after;
        } else {
            let end = rest
                .find(|c: char| c.is_whitespace() || "=!<>()'\"".contains(c))
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                return Err(format!("`{first}` has no meaning here"));
            }
            out.push(Token::Word(word.to_owned()));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self, depth: usize) -> Result<Expr, String> {
        if depth > MAX_DEPTH {
            return Err("too many parentheses".to_owned());
        }
        let mut all = vec![self.and(depth)?];
        while self.word("or") {
            all.push(self.and(depth)?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expr::Or(all)
        })
    }

    fn and(&mut self, depth: usize) -> Result<Expr, String> {
        let mut all = vec![self.not(depth)?];
        while self.word("and") {
            all.push(self.not(depth)?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expr::And(all)
        })
    }

    fn not(&mut self, depth: usize) -> Result<Expr, String> {
        if depth > MAX_DEPTH {
            return Err("too many parentheses".to_owned());
        }
        if self.word("not") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.or(depth + 1)?;
            return if self.sign(")") {
                Ok(inner)
            } else {
                Err("`(` without `)`".to_owned())
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, String> {
        let left = self.operand()?;
        if self.word("is") {
            let positive = !self.word("not");
            if !self.word("set") {
                return Err("after `is` comes `set` or `not set`".to_owned());
            }
            return match left {
                Operand::Path(path) => Ok(Expr::IsSet(path, positive)),
                Operand::Literal(_) => Err("`is set` needs a variable".to_owned()),
            };
        }
        let op = match self.tokens.get(self.at) {
            Some(Token::Sign("==")) => Op::Equal,
            Some(Token::Sign("!=")) => Op::NotEqual,
            Some(Token::Sign("<")) => Op::Less,
            Some(Token::Sign("<=")) => Op::LessOrEqual,
            Some(Token::Sign(">")) => Op::Greater,
            Some(Token::Sign(">=")) => Op::GreaterOrEqual,
            Some(Token::Word(w)) if w == "contains" => Op::Contains,
            _ => return Ok(Expr::Truth(left)),
        };
        self.at += 1;
        Ok(Expr::Compare(left, op, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.next() {
            None => Err("the condition ends too early".to_owned()),
            Some(Token::Text(text)) => Ok(Operand::Literal(text.into())),
            Some(Token::Sign(sign)) => Err(format!("`{sign}` where a variable or value belongs")),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Ok(Operand::Literal(true.into())),
                "false" => Ok(Operand::Literal(false.into())),
                "and" | "or" | "not" | "is" | "contains" => {
                    Err(format!("`{word}` where a variable or value belongs"))
                }
                _ => match word.parse::<f64>() {
                    Ok(n) if n.is_finite() => Ok(Operand::Literal(n.into())),
                    _ => Ok(Operand::Path(word)),
                },
            },
        }
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(w) => format!("`{w}`"),
        Token::Text(t) => format!("'{t}'"),
        Token::Sign(s) => format!("`{s}`"),
    }
}

fn eval(expr: &Expr, variables: &Variables) -> bool {
    match expr {
        Expr::Or(all) => all.iter().any(|e| eval(e, variables)),
        Expr::And(all) => all.iter().all(|e| eval(e, variables)),
        Expr::Not(inner) => !eval(inner, variables),
        Expr::IsSet(path, positive) => variables.is_set(path) == *positive,
        Expr::Truth(operand) => match resolve(operand, variables) {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !matches!(text.as_str(), "" | "false" | "no"),
            Value::Number(n) => n.as_f64() != Some(0.0),
            _ => true,
        },
        Expr::Compare(left, op, right) => {
            compare(&resolve(left, variables), *op, &resolve(right, variables))
        }
    }
}

fn resolve(operand: &Operand, variables: &Variables) -> Value {
    match operand {
        Operand::Path(path) => variables.path(path).cloned().unwrap_or(Value::Null),
        Operand::Literal(value) => value.clone(),
    }
}

fn compare(left: &Value, op: Op, right: &Value) -> bool {
    if op == Op::Contains {
        return match left {
            Value::Array(items) => items.iter().any(|i| compare(i, Op::Equal, right)),
            _ => plain_text(left)
                .to_lowercase()
                .contains(&plain_text(right).to_lowercase()),
        };
    }
    let order = match (number(left), number(right)) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => Some(
            plain_text(left)
                .to_lowercase()
                .cmp(&plain_text(right).to_lowercase()),
        ),
    };
    // A value that is not there is neither less nor greater than anything.
    let known = !left.is_null() && !right.is_null();
    match op {
        Op::Equal => order.is_some_and(|o| o.is_eq()),
        Op::NotEqual => order.is_none_or(|o| o.is_ne()),
        Op::Less => known && order.is_some_and(|o| o.is_lt()),
        Op::LessOrEqual => known && order.is_some_and(|o| o.is_le()),
        Op::Greater => known && order.is_some_and(|o| o.is_gt()),
        Op::GreaterOrEqual => known && order.is_some_and(|o| o.is_ge()),
        Op::Contains => false,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str) -> bool {
        let variables: Variables = [
            ("caller_email", json!("jane@example.com")),
            ("budget", json!({"max": 450_000})),
            ("need", json!("A new Roof")),
            ("wants_call", json!(true)),
            ("empty", json!("")),
            ("code", json!("7")),
        ]
        .into_iter()
        .collect();
        Condition::parse(text).unwrap().holds(&variables)
    }

    #[test]
    fn conditions_hold_as_they_read() {
        for text in [
            "caller_email is set",
            "nothing is not set",
            "empty is not set",
            "budget.max > 300000 and need contains 'roof'",
            "budget.max < 10 or wants_call",
            "not (budget.max < 10)",
            "code == 7",
            "need == 'a new roof'",
            "need != \"x\"",
            "wants_call == true",
            "not nothing",
            "budget.max >= 450000 and budget.max <= 450000",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "nothing < 5",
            "nothing > 5",
            "wants_call == false",
            "empty",
            "nothing == 'x'",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("a ==", "ends too early"),
            ("(a is set", "without `)`"),
            ("a is", "after `is`"),
            ("a b", "left over"),
            ("'x", "without its end"),
            ("a = 5", "no meaning"),
        ] {
            let error = Condition::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Condition::parse(&"(".repeat(10_000)).is_err());
        assert!(Condition::parse(&"not ".repeat(10_000)).is_err());
    }
}
