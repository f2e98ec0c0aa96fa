//! The `Condition` of a policy statement: operators over keys of a call's context (IAM user guide, "IAM JSON policy elements: Condition
//! operators"). Imports `glob`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::glob;

/// What is known about a call: condition keys with their values. A key that is not there is missing, which is not the same as empty.
pub(super) type Context = BTreeMap<String, Vec<String>>;

/// Operator → key → values; all of them have to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Condition(BTreeMap<String, BTreeMap<String, Values>>);

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    Many(Vec<Value>),
    One(Value),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Truth(bool),
}

/// Keys that a context can hold; one that ends in `/` goes on with the key of a tag.
const KEYS: &[&str] = &[
    "aws:RequestTag/",
    "aws:ResourceTag/",
    "ec2:ResourceTag/",
    "elasticloadbalancing:ResourceTag/",
    "aws:TagKeys",
    "ec2:CreateAction",
    "elasticloadbalancing:CreateAction",
    "aws:RequestedRegion",
    "ec2:Region",
    "aws:PrincipalAccount",
    "aws:UserAgent",
];

/// How values are compared.
#[derive(Clone, Copy)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Null,
}

/// An operator taken apart.
struct Operator {
    comparison: Comparison,
    negated: bool,
    /// A missing key passes.
    if_exists: bool,
    /// `ForAllValues:` rather than any of them.
    all: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (all, text) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (true, rest),
            Some(("ForAnyValue", rest)) => (false, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let (if_exists, text) = text.strip_suffix("IfExists").map_or((false, text), |text| (true, text));
        let (comparison, negated) = match text {
            "StringEquals" | "Bool" => (Comparison::Equals, false),
            "StringNotEquals" => (Comparison::Equals, true),
            "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, true),
            "StringLike" | "ArnLike" | "ArnEquals" => (Comparison::Like, false),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Comparison::Like, true),
            "Null" => (Comparison::Null, false),
            _ => return None,
        };
        Some(Self { comparison, negated, if_exists, all })
    }

    fn holds(&self, present: Option<&Vec<String>>, values: &[&str]) -> bool {
        if matches!(self.comparison, Comparison::Null) {
            return values.contains(&if present.is_some() { "false" } else { "true" });
        }
        let Some(present) = present else { return self.negated || self.if_exists || self.all };
        let matches = |own: &String| {
            values.iter().any(|value| match self.comparison {
                Comparison::Equals => own == value,
                Comparison::EqualsIgnoreCase => own.eq_ignore_ascii_case(value),
                Comparison::Like => glob::matches(value, own),
                Comparison::Null => false,
            })
        };
        let passes = |own: &String| matches(own) != self.negated;
        if self.all { present.iter().all(passes) } else { present.iter().any(passes) }
    }
}

impl Condition {
    /// What in it is not known here.
    pub(super) fn check(&self) -> Result<(), String> {
        for (operator, keys) in &self.0 {
            if Operator::parse(operator).is_none() {
                return Err(format!(
                    "the condition operator {operator} is not enforced here; there are StringEquals, StringLike, ArnLike (each with Not, IfExists, ForAnyValue:, ForAllValues:), Bool and Null"
                ));
            }
            if let Some(key) = keys.keys().find(|key| canonical(key).is_none()) {
                return Err(format!("the condition key {key} is not known here; there are {}", KEYS.join(", ")));
            }
        }
        Ok(())
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        self.0.iter().all(|(operator, keys)| {
            let Some(operator) = Operator::parse(operator) else { return false };
            keys.iter().all(|(key, values)| {
                let present = canonical(key).and_then(|key| context.get(&key));
                operator.holds(present, &values.texts())
            })
        })
    }
}

impl Values {
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::One(value) => vec![value.text()],
            Self::Many(values) => values.iter().map(Value::text).collect(),
        }
    }
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Truth(true) => "true",
            Self::Truth(false) => "false",
        }
    }
}

/// A key as a context holds it: names of keys are read in any case, those of tags are kept.
fn canonical(key: &str) -> Option<String> {
    KEYS.iter().find_map(|known| {
        let (head, tag) = key.split_at_checked(known.len())?;
        let fits = head.eq_ignore_ascii_case(known) && (known.ends_with('/') != tag.is_empty());
        fits.then(|| format!("{known}{tag}"))
    })
}
