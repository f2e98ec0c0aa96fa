//! Writes the XML of AWS's query protocols.
//!
//! Imports nothing of the crate. ELBv2 and STS call a list's elements `member`, EC2 calls them `item`: the writer knows, the callers need not.

use std::fmt::{Display, Write};

/// An XML document being written: elements in order, text escaped, elements closed by construction.
pub(crate) struct Xml {
    text: String,
    element: &'static str,
}

impl Xml {
    /// A writer whose list elements are called `element`.
    pub(crate) fn new(element: &'static str) -> Self {
        Self { text: String::with_capacity(1024), element }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// `<name>…</name>`, the content written by `content`.
    pub(crate) fn within(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name, "");
        content(self);
        self.close(name);
    }

    /// `<name>value</name>`.
    pub(crate) fn text(&mut self, name: &str, value: impl Display) {
        self.open(name, "");
        // Writing to a String cannot fail.
        let _ = write!(Escape(&mut self.text), "{value}");
        self.close(name);
    }

    /// `<name>value</name>`, or nothing for `None`: AWS leaves absent members out.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// `<name>` with one element for each item, its content written by `content`; an empty list is an empty element, as AWS writes it.
    pub(crate) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, mut content: impl FnMut(&mut Self, T)) {
        let element = self.element;
        self.open(name, "");
        for item in items {
            self.within(element, |xml| content(xml, item));
        }
        self.close(name);
    }

    /// A list of plain texts.
    pub(crate) fn texts<T: Display>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        let element = self.element;
        self.open(name, "");
        for item in items {
            self.text(element, item);
        }
        self.close(name);
    }

    /// An opening tag; `attributes` is written as it is.
    pub(crate) fn open(&mut self, name: &str, attributes: &str) {
        let space = if attributes.is_empty() { "" } else { " " };
        let _ = write!(self.text, "<{name}{space}{attributes}>");
    }

    /// The closing tag of an [`Xml::open`].
    pub(crate) fn close(&mut self, name: &str) {
        let _ = write!(self.text, "</{name}>");
    }

    /// Appends a finished document's text.
    pub(crate) fn append(&mut self, other: &Self) {
        self.text.push_str(&other.text);
    }
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
    fn escapes_text_and_names_list_elements() {
        let mut xml = Xml::new("member");
        xml.list("Tags", ["a<b", "\"&\u{1}"], |xml, key| xml.text("Key", key));
        xml.optional("Absent", None::<&str>);
        xml.texts("Empty", Vec::<String>::new());
        assert_eq!(
            xml.finish(),
            "<Tags><member><Key>a&lt;b</Key></member><member><Key>&quot;&amp;\u{FFFD}</Key></member></Tags><Empty></Empty>"
        );
    }
}
