//! The parameters of a call as a form, and the check of them against an action's declared parameters.
//!
//! Imports `error.rs`. Both spellings of a list are read (`Tags.member.1.Key` of ELBv2, `Tag.1.Key` of EC2). The declarations are the
//! tables of the services: what a table does not name is refused, so nothing is ever silently ignored.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// The form fields of a call, by their full names.
pub(crate) type Form = BTreeMap<String, String>;

/// A call's parameters as a tree: structures and lists have children, scalars a value.
#[derive(Debug, Default)]
pub(crate) struct Params {
    value: Option<String>,
    children: BTreeMap<String, Self>,
}

impl Params {
    pub(crate) fn parse(form: &Form) -> Self {
        let mut root = Self::default();
        for (key, value) in form {
            let mut at = &mut root;
            for part in key.split('.') {
                at = at.children.entry(part.to_owned()).or_default();
            }
            at.value = Some(value.clone());
        }
        root
    }

    fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |at, part| at.children.get(part))
    }

    /// Whether anything was sent under `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// The structure at `path`.
    pub(crate) fn under(&self, path: &str) -> Option<&Self> {
        self.at(path)
    }

    /// The scalar at `path` (`Name`, or `Matcher.HttpCode` in a structure).
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.at(path)?.value.as_deref()
    }

    /// The scalar at `path` as a number; the declaration has already refused anything else.
    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The scalar at `path` as a truth value; the declaration has already refused anything else.
    pub(crate) fn truth(&self, path: &str) -> Option<bool> {
        self.text(path)?.parse().ok()
    }

    /// A required scalar; an empty text when the declaration did not require it.
    pub(crate) fn required(&self, path: &str) -> &str {
        self.text(path).unwrap_or_default()
    }

    /// The elements of the list at `path`, in their numbered order.
    pub(crate) fn items(&self, path: &str) -> Vec<&Self> {
        let Some(list) = self.at(path) else { return Vec::new() };
        let list = list.children.get("member").unwrap_or(list);
        let mut numbered: Vec<(u64, &Self)> =
            list.children.iter().filter_map(|(index, item)| Some((index.parse().ok()?, item))).collect();
        numbered.sort_by_key(|&(index, _)| index);
        numbered.into_iter().map(|(_, item)| item).collect()
    }

    /// The elements of a list of scalars.
    pub(crate) fn texts(&self, path: &str) -> Vec<&str> {
        self.items(path).into_iter().filter_map(|item| item.value.as_deref()).collect()
    }
}

/// Which service's words an error uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// ELBv2 and STS (awsQuery).
    Query,
    /// EC2 (ec2Query).
    Ec2,
    /// ACM and Resource Groups Tagging (awsJson 1.1, and smithy's CBOR); `json.rs` makes a form of what they send.
    Json,
}

impl Dialect {
    fn validation(self, message: String) -> ApiError {
        ApiError::new(if self == Self::Json { "ValidationException" } else { "ValidationError" }, message)
    }
}

/// Checks a call's fields against the declared parameters of its action: nothing unknown, nothing missing, scalars of their type.
///
/// A declaration is a path with `#` for a list index, then optionally `:` and a type (`bool`, `int`, `blob`, `1-65535`, `on|off`), then `!`
/// when the parameter is required.
pub(crate) fn check(form: &Form, declared: &[&str], dialect: Dialect) -> Result<(), ApiError> {
    let declared: Vec<Declaration<'_>> = declared.iter().map(|text| Declaration::parse(text)).collect();
    for (key, value) in form {
        if key == "Action" || key == "Version" {
            continue;
        }
        let path = normalize(key);
        match declared.iter().find(|declaration| declaration.path == path) {
            Some(declaration) => declaration.check_value(key, value, dialect)?,
            // An SDK writes an empty list as the bare name of the list.
            None if value.is_empty() && declared.iter().any(|declaration| declaration.is_list(&path)) => {}
            None => return Err(unknown(key, dialect)),
        }
    }
    for declaration in declared.iter().filter(|declaration| declaration.required) {
        let name = declaration.path.split('.').next().unwrap_or_default();
        if !form.keys().any(|key| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))) {
            return Err(missing(name, dialect));
        }
    }
    Ok(())
}

struct Declaration<'a> {
    path: &'a str,
    kind: &'a str,
    required: bool,
}

impl<'a> Declaration<'a> {
    fn parse(text: &'a str) -> Self {
        let (text, required) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
        let (path, kind) = text.split_once(':').unwrap_or((text, ""));
        Self { path, kind, required }
    }

    fn is_list(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(".#"))
    }

    fn check_value(&self, key: &str, value: &str, dialect: Dialect) -> Result<(), ApiError> {
        let constraint = match self.kind {
            "" | "blob" => return Ok(()),
            "bool" if matches!(value, "true" | "false") => return Ok(()),
            "bool" => "be true or false".to_owned(),
            "int" if value.parse::<i64>().is_ok() => return Ok(()),
            "int" => "be an integer".to_owned(),
            kind if kind.starts_with(|first: char| first.is_ascii_digit()) => {
                let range =
                    kind.split_once('-').and_then(|(low, high)| Some((low.parse::<i64>().ok()?, high.parse::<i64>().ok()?)));
                let (low, high) = range.unwrap_or((i64::MIN, i64::MAX));
                if value.parse::<i64>().is_ok_and(|number| (low..=high).contains(&number)) {
                    return Ok(());
                }
                format!("be an integer from {low} to {high}")
            }
            kind => {
                let values: Vec<&str> = kind.split('|').collect();
                if values.contains(&value) {
                    return Ok(());
                }
                format!("satisfy enum value set: [{}]", values.join(", "))
            }
        };
        Err(match dialect {
            Dialect::Query | Dialect::Json => dialect.validation(format!(
                "1 validation error detected: Value '{value}' at '{key}' failed to satisfy constraint: Member must {constraint}"
            )),
            Dialect::Ec2 => {
                ApiError::parameter_value(format!("Value ({value}) for parameter {key} is invalid: it must {constraint}"))
            }
        })
    }
}

/// The first field of a call that its action does not declare.
pub(crate) fn undeclared<'a>(form: &'a Form, declared: &[&str]) -> Option<&'a str> {
    let known = |key: &str, value: &str| {
        let path = normalize(key);
        let fits = |declaration: Declaration<'_>| declaration.path == path || value.is_empty() && declaration.is_list(&path);
        key == "Action" || key == "Version" || declared.iter().any(|text| fits(Declaration::parse(text)))
    };
    form.iter().find(|(key, value)| !known(key, value)).map(|(key, _)| key.as_str())
}

/// The declared type of the parameter that a form field is, `""` for a text; `None` when it is not declared.
pub(crate) fn declared_kind<'a>(key: &str, declared: &[&'a str]) -> Option<&'a str> {
    let path = normalize(key);
    declared.iter().map(|text| Declaration::parse(text)).find(|declaration| declaration.path == path).map(|found| found.kind)
}

/// `Tags.member.12.Key` and `Tag.12.Key` become `Tags.#.Key` and `Tag.#.Key`.
fn normalize(key: &str) -> String {
    let mut out = Vec::new();
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        match part {
            "member" if parts.peek().is_some_and(|next| is_index(next)) => {}
            index if is_index(index) => out.push("#"),
            // Not the sign for a list index that declarations have.
            "#" => out.push("(#)"),
            name => out.push(name),
        }
    }
    out.join(".")
}

/// Whether it numbers an element: longer lists than nine digits can count are nobody's.
fn is_index(part: &str) -> bool {
    (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn unknown(key: &str, dialect: Dialect) -> ApiError {
    match dialect {
        Dialect::Query | Dialect::Json => {
            dialect.validation(format!("The parameter '{key}' is not known to this action of the emulator"))
        }
        Dialect::Ec2 => ApiError::new("UnknownParameter", format!("The parameter {key} is not recognized")),
    }
}

/// The error for a parameter that has to be there and is not.
pub(crate) fn missing(name: &str, dialect: Dialect) -> ApiError {
    match dialect {
        Dialect::Query | Dialect::Json => dialect.validation(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        )),
        Dialect::Ec2 => ApiError::new("MissingParameter", format!("The request must contain the parameter {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn lists_are_read_in_numbered_order_in_both_spellings() {
        let params = Params::parse(&form(&[
            ("Tags.member.10.Key", "ten"),
            ("Tags.member.2.Key", "two"),
            ("SubnetId.1", "a"),
            ("SubnetId.2", "b"),
            ("Matcher.HttpCode", "200"),
            ("Empty", ""),
        ]));
        let keys: Vec<_> = params.items("Tags").into_iter().map(|tag| tag.required("Key")).collect();
        assert_eq!(keys, ["two", "ten"]);
        assert_eq!(params.texts("SubnetId"), ["a", "b"]);
        assert_eq!(params.text("Matcher.HttpCode"), Some("200"));
        assert!(params.texts("Empty").is_empty() && params.has("Empty") && !params.has("Absent"));
    }

    #[test]
    fn declarations_refuse_unknown_missing_and_ill_typed() {
        let declared = ["Name!", "Port:1-65535", "Scheme:internal|internet-facing", "Flag:bool", "Tags.#.Key", "Tags.#.Value"];
        let code = |fields: &[(&str, &str)], dialect| {
            check(&form(fields), &declared, dialect).map_err(|error| (error.code, error.message))
        };
        assert_eq!(code(&[("Action", "X"), ("Name", "n"), ("Tags.member.1.Key", "k"), ("Port", "80")], Dialect::Query), Ok(()));
        assert_eq!(code(&[("Name", "n"), ("Tags", "")], Dialect::Query), Ok(()));
        for (fields, word) in [
            (&[("Name", "n"), ("Nmae", "n")][..], "Nmae"),
            (&[("Port", "80")], "Name"),
            (&[("Name", "n"), ("Port", "0")], "Port"),
            (&[("Name", "n"), ("Scheme", "public")], "Scheme"),
            (&[("Name", "n"), ("Flag", "yes")], "Flag"),
            (&[("Name", "n"), ("Tags.member.1.Kez", "k")], "Kez"),
            (&[("Name", "n"), ("Tags.member.9999999999.Key", "k")], "9999999999"),
            (&[("Name", "n"), ("Tags.member.#.Key", "k")], "Tags.member.#.Key"),
            (&[("Name", "n"), ("Tags.member..Key", "k")], "Tags.member..Key"),
            (&[("Name.member", "n")], "Name.member"),
            (&[("Name", "n"), (".Port", "80")], ".Port"),
        ] {
            let (code, message) = code(fields, Dialect::Query).unwrap_err();
            assert_eq!(code, "ValidationError");
            assert!(message.contains(word), "{message}");
        }
        assert_eq!(code(&[("Nmae", "n")], Dialect::Ec2).unwrap_err().0, "UnknownParameter");
        assert_eq!(code(&[], Dialect::Ec2).unwrap_err().0, "MissingParameter");
        assert_eq!(code(&[("Name", "n"), ("Port", "x")], Dialect::Ec2).unwrap_err().0, "InvalidParameterValue");
    }
}
