//! Names in other cases.

/// `UserAccount` as `user_account`; a run of capitals is one word: `HTTPLog` is `http_log`.
pub(crate) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let lower_before = i > 0 && (chars[i - 1].is_lowercase() || chars[i - 1].is_ascii_digit());
        let word_begins = i > 0
            && c.is_uppercase()
            && (lower_before
                || (chars[i - 1].is_uppercase() && chars.get(i + 1).is_some_and(|c| c.is_lowercase())));
        if word_begins {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The English plural of a lower-case word, by the usual rules.
pub(crate) fn plural(word: &str) -> String {
    let vowel_before_y = || word.chars().rev().nth(1).is_some_and(|c| "aeiou".contains(c));
    if word.ends_with('y') && !vowel_before_y() {
        format!("{}ies", &word[..word.len() - 1])
    } else if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        format!("{word}es")
    } else {
        format!("{word}s")
    }
}

/// The cases that `rename_all` knows.
pub(crate) const CASES: [&str; 6] =
    ["snake_case", "kebab-case", "camelCase", "lowercase", "UPPERCASE", "SCREAMING_SNAKE_CASE"];

/// A variant's name in one of [`CASES`]; `None` for another word.
pub(crate) fn rename(name: &str, case: &str) -> Option<String> {
    Some(match case {
        "snake_case" => snake(name),
        "kebab-case" => snake(name).replace('_', "-"),
        "camelCase" => {
            let mut chars = name.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
        "lowercase" => name.to_lowercase(),
        "UPPERCASE" => name.to_uppercase(),
        "SCREAMING_SNAKE_CASE" => snake(name).to_uppercase(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_counted() {
        assert_eq!(snake("UserAccount"), "user_account");
        assert_eq!(snake("HTTPLog"), "http_log");
        assert_eq!(snake("V2User"), "v2_user");
        for (one, many) in
            [("country", "countries"), ("day", "days"), ("box", "boxes"), ("bus", "buses"), ("user", "users")]
        {
            assert_eq!(plural(one), many);
        }
        assert_eq!(rename("InReview", "kebab-case").as_deref(), Some("in-review"));
        assert_eq!(rename("InReview", "camelCase").as_deref(), Some("inReview"));
        assert_eq!(rename("InReview", "Title"), None);
    }
}
