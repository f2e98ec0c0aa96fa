//! Prints the table of annotations as the reference page `docs/reference/annotations.md`.

use std::fmt::Write as _;

use super::{Annotation, Kind, OURS, PREFIX, Support, TABLE};

const INTRODUCTION: &str = "\
# Annotations of a Service

<!-- Made from src/nlb/build/annotations/table.rs; a test compares the two. -->

A Service of type LoadBalancer may bear these annotations. They are those of AWS Load Balancer Controller and of the
older in-tree controller, and are read as those read them, with one difference: what is unknown, mistyped or not
supported is reported in the Service's conditions and in an event, and nothing is changed in AWS until it is put right.

All keys begin with `service.beta.kubernetes.io/`, left out below. Values are always quoted strings in YAML. Where an
item may contain a comma, write `\\,`.
";

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Supported\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for annotation in with(Support::Full) {
        let Annotation { key, kind, default, doc, .. } = annotation;
        let default = if default.is_empty() { "–" } else { default };
        let _ = writeln!(page, "| `{key}` | {} | {default} | {doc}{} |", kind.describe(), later(*kind));
    }
    page.push_str("\n## Not supported yet\n\nA Service that bears one of these is refused with `UnsupportedAnnotation`.\n\n");
    page.push_str("| key | meaning |\n|---|---|\n");
    for Annotation { key, doc, .. } in with(Support::Later) {
        let rest = if key.ends_with('.') { "…" } else { "" };
        let _ = writeln!(page, "| `{key}{rest}` | {doc} |");
    }
    page.push_str("\n## Of Classic Load Balancers\n\nThe in-tree controller read these for Classic Load Balancers only. ");
    page.push_str("They are refused with `UnsupportedAnnotation`,\nsince a Network Load Balancer has nothing like them.\n\n");
    page.push_str("| key | meaning |\n|---|---|\n");
    for Annotation { key, doc, .. } in with(Support::Classic) {
        let _ = writeln!(page, "| `{key}` | {doc} |");
    }
    let ours: Vec<String> = OURS.iter().map(|ours| format!("`{PREFIX}{ours}`")).collect();
    let _ = writeln!(page, "\nKeys that begin with none of {} are not looked at.", ours.join(", "));
    page
}

fn with(support: Support) -> impl Iterator<Item = &'static Annotation> {
    TABLE.iter().filter(move |annotation| annotation.support == support)
}

fn later(kind: Kind) -> String {
    match kind {
        Kind::Choice { later: later @ [_, ..], .. } => format!(" Not yet: `{}`.", later.join("`, `")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_page_is_current() {
        let committed = include_str!("../../../../docs/reference/annotations.md");
        let current = super::markdown();
        assert!(committed == current, "docs/reference/annotations.md should read:\n{current}");
    }
}
