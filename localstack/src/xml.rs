//! Writes answers: the XML of AWS's query protocols, and the JSON of its JSON protocols.
//!
//! Imports nothing of the crate. ELBv2, IAM and STS call a list's elements `member`, EC2 calls them `item`, in JSON they have no name: the
//! writer knows, the callers need not.

use std::fmt::{Display, Write};

/// A document being written: elements in order, text escaped, elements closed by construction.
pub(crate) struct Xml {
    text: String,
    form: Form,
}

/// What a document is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// XML whose list elements have this name.
    Xml(&'static str),
    /// The members of a JSON object.
    Json,
}

impl Xml {
    /// A writer whose list elements are called `element`.
    pub(crate) fn new(element: &'static str) -> Self {
        Self { text: String::with_capacity(1024), form: Form::Xml(element) }
    }

    /// A writer of the members of a JSON object.
    pub(crate) fn json() -> Self {
        Self { text: String::with_capacity(1024), form: Form::Json }
    }

    /// The document; in JSON the whole object.
    pub(crate) fn finish(self) -> String {
        match self.form {
            Form::Xml(_) => self.text,
            Form::Json => format!("{{{}}}", self.text),
        }
    }

    /// `<name>…</name>`, the content written by `content`.
    pub(crate) fn within(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name, "");
        content(self);
        self.close(name);
    }

    /// `<name>value</name>`.
    pub(crate) fn text(&mut self, name: &str, value: impl Display) {
        match self.form {
            Form::Xml(_) => {
                self.open(name, "");
                // Writing to a String cannot fail.
                let _ = write!(Escape(&mut self.text), "{value}");
                self.close(name);
            }
            Form::Json => {
                self.key(name);
                self.quoted(&value);
            }
        }
    }

    /// A number or a truth value, which JSON does not quote.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        match self.form {
            Form::Xml(_) => self.text(name, value),
            Form::Json => {
                self.key(name);
                let _ = write!(self.text, "{value}");
            }
        }
    }

    /// `<name>value</name>`, or nothing for `None`: AWS leaves absent members out.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// `<name>` with one element for each item, its content written by `content`; an empty list is an empty element, as AWS writes it.
    pub(crate) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, mut content: impl FnMut(&mut Self, T)) {
        match self.form {
            Form::Xml(element) => {
                self.open(name, "");
                for item in items {
                    self.within(element, |xml| content(xml, item));
                }
                self.close(name);
            }
            Form::Json => self.array(name, items, |json, item| {
                json.text.push('{');
                content(json, item);
                json.text.push('}');
            }),
        }
    }

    /// A list of plain texts.
    pub(crate) fn texts<T: Display>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        match self.form {
            Form::Xml(element) => {
                self.open(name, "");
                for item in items {
                    self.text(element, item);
                }
                self.close(name);
            }
            Form::Json => self.array(name, items, |json, item| json.quoted(&item)),
        }
    }

    /// An opening tag; `attributes` is written as it is, in XML.
    pub(crate) fn open(&mut self, name: &str, attributes: &str) {
        if self.form == Form::Json {
            self.key(name);
            self.text.push('{');
            return;
        }
        let space = if attributes.is_empty() { "" } else { " " };
        let _ = write!(self.text, "<{name}{space}{attributes}>");
    }

    /// The closing tag of an [`Xml::open`].
    pub(crate) fn close(&mut self, name: &str) {
        match self.form {
            Form::Json => self.text.push('}'),
            Form::Xml(_) => {
                let _ = write!(self.text, "</{name}>");
            }
        }
    }

    /// Appends a finished document's text.
    pub(crate) fn append(&mut self, other: &Self) {
        self.text.push_str(&other.text);
    }

    /// A comma where something precedes, and the name of a member.
    fn key(&mut self, name: &str) {
        self.comma();
        self.quoted(&name);
        self.text.push(':');
    }

    fn comma(&mut self) {
        if self.text.ends_with(|last| !matches!(last, '{' | '[' | ':')) {
            self.text.push(',');
        }
    }

    fn array<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, mut element: impl FnMut(&mut Self, T)) {
        self.key(name);
        self.text.push('[');
        for item in items {
            self.comma();
            element(self, item);
        }
        self.text.push(']');
    }

    fn quoted(&mut self, value: &dyn Display) {
        let _ = write!(self.text, "{}", serde_json::Value::from(value.to_string()));
    }
}

/// A text as it stands in an element.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let _ = Escape(&mut out).write_str(text);
    out
}

struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // XML 1.0 has no way to write these, escaped or not.
                '\u{FFFE}' | '\u{FFFF}' => self.0.push('\u{FFFD}'),
                character if character < ' ' && !matches!(character, '\t' | '\n' | '\r') => self.0.push('\u{FFFD}'),
                '\r' => self.0.push_str("&#13;"),
                character => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_calls_write_json() {
        let mut json = Xml::json();
        json.text("Name", "a \"b\"");
        json.within("Outer", |json| {
            json.value("Count", 3);
            json.list("Tags", ["x", "{"], |json, key| {
                json.text("Key", key);
                json.value("Own", true);
            });
        });
        json.texts("Empty", Vec::<String>::new());
        json.texts("Names", ["a", "b"]);
        json.list("None", Vec::<&str>::new(), |_, _| {});
        json.within("Nothing", |_| {});
        json.optional("Absent", None::<&str>);
        json.optional("Last", Some("["));
        let text = json.finish();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted = serde_json::json!({
            "Name": "a \"b\"",
            "Outer": {"Count": 3, "Tags": [{"Key": "x", "Own": true}, {"Key": "{", "Own": true}]},
            "Empty": [], "Names": ["a", "b"], "None": [], "Nothing": {}, "Last": "[",
        });
        assert_eq!(value, wanted, "{text}");
        assert_eq!(Xml::json().finish(), "{}");
    }

    #[test]
    fn escapes_text_and_names_list_elements() {
        let mut xml = Xml::new("member");
        xml.list("Tags", ["a<b", "\"&\u{1}\u{FFFE}"], |xml, key| xml.text("Key", key));
        xml.optional("Absent", None::<&str>);
        xml.texts("Empty", Vec::<String>::new());
        assert_eq!(
            xml.finish(),
            "<Tags><member><Key>a&lt;b</Key></member><member><Key>&quot;&amp;\u{FFFD}\u{FFFD}</Key></member></Tags><Empty></Empty>"
        );
    }
}
