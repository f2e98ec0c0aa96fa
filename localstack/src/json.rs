//! Reads the calls of AWS's JSON protocols as forms, so that everything behind sees parameters of one shape: `{"Tags": [{"Key": "a"}]}` is
//! `Tags.1.Key=a`.
//!
//! Imports `query` for the declared types, which JSON has to keep; blobs come out decoded. CBOR is read and written by way of JSON.

use data_encoding::BASE64;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::query::{self, Form};

/// What an SDK of these protocols sends that cannot be read.
fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new("SerializationException", message)
}

/// Reads the body of a call: one JSON object, or nothing for no parameters.
pub(crate) fn read(body: &[u8], declared: &[&str]) -> Result<Form, ApiError> {
    if body.is_empty() {
        return Ok(Form::new());
    }
    let value = serde_json::from_slice(body).map_err(|error| malformed(format!("The body is not JSON: {error}")))?;
    flatten(value, declared)
}

/// Reads a body of CBOR.
pub(crate) fn read_cbor(body: &[u8], declared: &[&str]) -> Result<Form, ApiError> {
    if body.is_empty() {
        return Ok(Form::new());
    }
    let value: ciborium::Value =
        ciborium::from_reader(body).map_err(|error| malformed(format!("The body is not CBOR: {error}")))?;
    flatten(from_cbor(value)?, declared)
}

/// The CBOR of a JSON document that the emulator has written.
pub(crate) fn to_cbor(json: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = ciborium::into_writer(&value, &mut bytes);
    bytes
}

fn from_cbor(value: ciborium::Value) -> Result<Value, ApiError> {
    Ok(match value {
        ciborium::Value::Null => Value::Null,
        ciborium::Value::Bool(truth) => Value::from(truth),
        ciborium::Value::Integer(number) => {
            Value::from(i64::try_from(i128::from(number)).map_err(|_| malformed("A number is out of range"))?)
        }
        ciborium::Value::Float(number) => Value::from(number),
        ciborium::Value::Text(text) => Value::from(text),
        ciborium::Value::Bytes(bytes) => Value::from(BASE64.encode(&bytes)),
        ciborium::Value::Tag(_, inner) => from_cbor(*inner)?,
        ciborium::Value::Array(items) => Value::Array(items.into_iter().map(from_cbor).collect::<Result<_, _>>()?),
        ciborium::Value::Map(members) => {
            let mut object = Map::new();
            for (key, value) in members {
                let key = key.into_text().map_err(|_| malformed("The name of a member is not a text"))?;
                object.insert(key, from_cbor(value)?);
            }
            Value::Object(object)
        }
        _ => return Err(malformed("A value is of no type that the protocol has")),
    })
}

fn flatten(value: Value, declared: &[&str]) -> Result<Form, ApiError> {
    let Value::Object(members) = value else { return Err(malformed("The body is not an object")) };
    let mut form = Form::new();
    for (name, value) in members {
        add(&mut form, name, value, declared)?;
    }
    Ok(form)
}

fn add(form: &mut Form, path: String, value: Value, declared: &[&str]) -> Result<(), ApiError> {
    match value {
        // A member that is null is absent.
        Value::Null => {}
        Value::Array(items) if items.is_empty() => drop(form.insert(path, String::new())),
        Value::Array(items) => {
            for (at, item) in (1u32..).zip(items) {
                add(form, format!("{path}.{at}"), item, declared)?;
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                add(form, format!("{path}.{name}"), value, declared)?;
            }
        }
        scalar => {
            let text = text_of(&path, scalar, query::declared_kind(&path, declared))?;
            form.insert(path, text);
        }
    }
    Ok(())
}

/// A scalar as a form has it, when it has the type that is declared. What is not declared is refused later, by name.
fn text_of(path: &str, scalar: Value, kind: Option<&str>) -> Result<String, ApiError> {
    let number = |kind: &str| kind == "int" || kind.starts_with(|first: char| first.is_ascii_digit());
    match (scalar, kind) {
        (Value::String(text), Some("blob")) => {
            let bytes = BASE64.decode(text.as_bytes()).map_err(|error| malformed(format!("{path} is not base64: {error}")))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        (Value::Bool(truth), None | Some("bool")) => Ok(truth.to_string()),
        (Value::Bool(_), Some(_)) => Err(malformed(format!("{path} cannot be a truth value"))),
        (Value::Number(value), None) => Ok(value.to_string()),
        (Value::Number(value), Some(kind)) if number(kind) => Ok(value.to_string()),
        (Value::Number(_), Some(_)) => Err(malformed(format!("{path} cannot be a number"))),
        (Value::String(_), Some(kind)) if kind == "bool" || number(kind) => {
            Err(malformed(format!("{path} cannot be a text: it is a {}", if kind == "bool" { "truth value" } else { "number" })))
        }
        (Value::String(text), _) => Ok(text),
        (other, _) => Err(malformed(format!("{path} has no scalar value: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[&str] = &["Name!", "Tags.#.Key", "Count:1-9", "Flag:bool", "Key:blob"];

    #[test]
    fn a_call_becomes_a_form_in_either_encoding() {
        let json = r#"{"Name": "n", "Tags": [{"Key": "a"}, {"Key": "b"}], "Count": 3, "Flag": true, "Key": "a2V5", "Gone": null,
            "Empty": []}"#;
        let form = read(json.as_bytes(), DECLARED).unwrap();
        let pairs: Vec<(&str, &str)> = form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let wanted = [
            ("Count", "3"),
            ("Empty", ""),
            ("Flag", "true"),
            ("Key", "key"),
            ("Name", "n"),
            ("Tags.1.Key", "a"),
            ("Tags.2.Key", "b"),
        ];
        assert_eq!(pairs, wanted);
        assert_eq!(read_cbor(&to_cbor(json), DECLARED).unwrap(), form);
        assert!(read(b"", DECLARED).unwrap().is_empty());
    }

    #[test]
    fn types_are_kept_and_what_is_wrong_is_named() {
        for (body, word) in [
            (r#"{"Count": "3"}"#, "Count"),
            (r#"{"Flag": "true"}"#, "Flag"),
            (r#"{"Name": 3}"#, "Name"),
            (r#"{"Tags": [{"Key": false}]}"#, "Tags.1.Key"),
            (r#"{"Key": "not base64"}"#, "Key"),
            ("[]", "object"),
            ("{", "JSON"),
        ] {
            let error = read(body.as_bytes(), DECLARED).unwrap_err();
            assert_eq!(error.code, "SerializationException");
            assert!(error.message.contains(word), "{body}: {}", error.message);
        }
    }
}
