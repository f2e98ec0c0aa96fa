//! Patterns with `*` (any characters) and `?` (one character), as EC2 filters and fault rules use them. Imports nothing of the crate.

/// Whether `text` as a whole matches `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut in_text) = (0, 0);
    // Where to resume after a `*`: behind it in the pattern, one character later in the text.
    let mut resume: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(in_text) {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                resume = Some((at, in_text));
            }
            Some(&wanted) if wanted == '?' || wanted == character => {
                at += 1;
                in_text += 1;
            }
            _ => {
                let Some((behind_star, from)) = resume else { return false };
                at = behind_star;
                in_text = from + 1;
                resume = Some((at, in_text));
            }
        }
    }
    pattern.iter().skip(at).all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("Describe*", "DescribeTags", true),
            ("Describe*", "CreateTags", false),
            ("*", "", true),
            ("ELB net/*/abc", "ELB net/x/abc", true),
            ("ELB net/*/abc", "ELB net/x/abcd", false),
            ("a?c*e", "abcde", true),
            ("a*b*c", "aXbYbZc", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
