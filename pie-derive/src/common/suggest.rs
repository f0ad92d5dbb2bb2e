//! "Did you mean …?" for words that are nearly known.

/// The known word that is nearest to this one, if it is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``unknown field `emial`: did you mean `email`?``, or the list of what there is.
pub(crate) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    format!("unknown {what} `{word}`: {}", instead(word, known))
}

/// ``unknown key `tll` of `#[cached]`: did you mean `ttl`?``, or the list of what there is.
pub(crate) fn unknown_key(word: &str, of: &str, known: &[&str]) -> String {
    format!("unknown key `{word}` of {of}: {}", instead(word, known))
}

fn instead(word: &str, known: &[&str]) -> String {
    match (nearest(word, known), known) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, [only]) => format!("there is only `{only}`"),
        (None, _) => {
            let list: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("there are {}", list.join(", "))
        }
    }
}

/// Levenshtein's distance, with a swap of two neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["id", "unique", "index", "column"];
        assert_eq!(nearest("uniqe", &known), Some("unique"));
        assert_eq!(nearest("idnex", &known), Some("index"));
        assert_eq!(nearest("primary_key", &known), None);
        assert_eq!(nearest("x", &known), None);
    }
}
