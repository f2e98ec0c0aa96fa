//! Manifests: YAML with any number of documents, Lists among them.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::Failure;

/// The objects of a file; `-` is standard input.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub(super) fn objects(path: &Path) -> Result<Vec<Value>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| failure(path, error);
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| unreadable(&error))?;
        text
    } else {
        std::fs::read_to_string(path).map_err(|error| unreadable(&error))?
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| unreadable(&error))?;
    Ok(documents.into_iter().flat_map(unpack).collect())
}

/// What is wrong with a file.
pub(super) fn failure(path: &Path, problem: &dyn std::fmt::Display) -> Failure {
    Failure::Manifest(path.display().to_string(), problem.to_string())
}

/// The kind of an object.
pub(super) fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn unpack(mut document: Value) -> Vec<Value> {
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if kind(&document).ends_with("List") => items.into_iter().flat_map(unpack).collect(),
        _ if document.is_null() => Vec::new(),
        Some(items) => {
            if let Some(fields) = document.as_object_mut() {
                fields.insert("items".to_owned(), items);
            }
            vec![document]
        }
        None => vec![document],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, "---\n---\nkind: A\n---\nkind: List\nitems:\n- kind: B\n- {kind: CList, items: [{kind: C}]}\n---\n{kind: D, items: [1]}\n")
            .unwrap();
        let objects = objects(&path).unwrap();
        assert_eq!(objects.iter().map(kind).collect::<Vec<_>>(), ["A", "B", "C", "D"]);
        assert_eq!(objects[3]["items"], serde_json::json!([1]));
        std::fs::write(&path, "a: [").unwrap();
        assert!(super::objects(&path).unwrap_err().to_string().contains("x.yaml"));
        assert!(super::objects(&folder.path().join("none")).is_err());
    }
}
