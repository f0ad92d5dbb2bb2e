//! Patterns with the rules of Redis: `*`, `?`, `[abc]`, `[a-z]`, `[^a]` and `\` before a character that is meant itself.
//!
//! Works on bytes, as Redis does, in time proportional to pattern times text at worst: a star is tried again only from the
//! last one seen.

/// What is wrong with a pattern, in words; `None` for one that can be used.
pub(crate) fn mistake_in(pattern: &str) -> Option<&'static str> {
    if pattern.is_empty() {
        return Some("an empty pattern: write one such as `users:*`");
    }
    let bytes = pattern.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if at + 1 == bytes.len() => {
                return Some("a pattern that ends in `\\`: write the character that is meant after it");
            }
            b'\\' => at += 1,
            b'[' => {
                let end =
                    class_end(bytes, at).ok_or("a `[` without its `]`: write `\\[` for the character itself");
                match end {
                    Ok(end) => at = end,
                    Err(mistake) => return Some(mistake),
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the class that begins at `at` ends: the place of its `]`.
fn class_end(pattern: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    if pattern.get(at) == Some(&b'^') {
        at += 1;
    }
    loop {
        match pattern.get(at)? {
            b'\\' => at += 2,
            b']' => return Some(at),
            _ => at += 1,
        }
    }
}

/// Whether a pattern has a character with a meaning.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '\\'])
}

/// Whether a byte is in the class `[…]` that begins at `at`, and where the pattern goes on.
fn in_class(pattern: &[u8], at: usize, byte: u8) -> (bool, usize) {
    let mut at = at + 1;
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut found = false;
    while let Some(&c) = pattern.get(at) {
        match c {
            b']' => {
                at += 1;
                break;
            }
            b'\\' if at + 1 < pattern.len() => {
                found |= pattern[at + 1] == byte;
                at += 2;
            }
            _ if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() => {
                let end = pattern[at + 2];
                found |= (c.min(end)..=c.max(end)).contains(&byte);
                at += 3;
            }
            _ => {
                found |= c == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

/// Whether the whole text matches.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last star, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            None if t == text.len() => return true,
            None => None,
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) if t == text.len() => return rest_is_stars(&pattern[p..]),
            Some(b'?') => Some(p + 1),
            Some(b'[') => match in_class(pattern, p, text[t]) {
                (true, next) => Some(next),
                (false, _) => None,
            },
            Some(b'\\') if p + 1 < pattern.len() => (pattern[p + 1] == text[t]).then_some(p + 2),
            Some(byte) => (*byte == text[t]).then_some(p + 1),
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((after, taken))) if taken < text.len() => {
                star = Some((after, taken + 1));
                p = after;
                t = taken + 1;
            }
            (None, _) => return false,
        }
    }
}

fn rest_is_stars(pattern: &[u8]) -> bool {
    pattern.iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn stars_question_marks_classes_and_escapes() {
        for (pattern, yes, no) in [
            ("user:*", "user:42", "users:42"),
            ("*:42", "a:b:42", "a:b:421"),
            ("a*b*c", "axxbyyc", "axxbyy"),
            ("a?c", "abc", "ac"),
            ("[a-c]1", "b1", "d1"),
            ("[c-a]1", "b1", "d1"),
            ("[^a-c]1", "d1", "b1"),
            ("[ab]", "b", "c"),
            ("[\\]]", "]", "\\"),
            ("\\*", "*", "x"),
            ("*", "", "never"),
        ] {
            assert!(hit(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !hit(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!hit(&"a*".repeat(50), &"a".repeat(40)));
        assert!(!hit(&"*a".repeat(30), &"b".repeat(10_000)));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for bad in ["", "users:\\", "users:[a", "[^", "a[\\]"] {
            assert!(mistake_in(bad).is_some(), "{bad}");
        }
        for good in ["*", "users:[^]", "a]", "\\[", "[]", "user:?*"] {
            assert!(mistake_in(good).is_none(), "{good}");
        }
    }
}
