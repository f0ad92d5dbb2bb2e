//! What holds for every message: read off the files that `tests/ui.rs` has the compiler make.
//!
//! In a case, `//~` behind a line says that one mistake is told there, `//~ 3` that three are.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Words that a person who writes a program has no use for.
const INTERNAL: [&str; 22] = [
    "__private",
    "pie_derive",
    "PIE_",
    " pie_",
    "`pie_",
    "Probe",
    "Kinds",
    "Stored",
    "Shape",
    "OptionOf",
    "ArcOf",
    "VecOf",
    "CachedOf",
    "OfResult",
    "OfValue",
    "Whole<",
    "Fallback",
    "Invalidation",
    "Template",
    "KeyWriter",
    "ColumnFacts",
    "Installed",
];
const ROOMS: [&str; 8] =
    ["model", "value", "cached", "function", "invalidates", "cache_key", "heap_size", "types"];

struct Case {
    name: String,
    source: String,
    messages: String,
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == end))
        .collect();
    all.sort();
    all
}

fn cases() -> Vec<Case> {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let all = ROOMS.iter().flat_map(|room| files(&ui.join(room), "rs"));
    let case = |path: PathBuf| Case {
        name: path.strip_prefix(&ui).expect("below it").display().to_string(),
        source: read(&path),
        messages: read(&path.with_extension("stderr")),
    };
    all.map(case).collect()
}

/// How many mistakes are expected in each line.
fn expected(source: &str) -> BTreeMap<usize, usize> {
    let line = |(i, line): (usize, &str)| {
        let (_, mark) = line.split_once("//~")?;
        Some((i + 1, mark.trim().parse().unwrap_or(1)))
    };
    source.lines().enumerate().filter_map(line).collect()
}

/// The headings of the messages, each with the line it points at.
fn told(messages: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = messages.lines().collect();
    let mut all = Vec::new();
    for (i, line) in
        lines.iter().enumerate().filter(|(_, line)| line.starts_with("error") || line.starts_with("warning"))
    {
        let place = lines[i + 1..].iter().find_map(|line| line.trim_start().strip_prefix("--> "));
        let number = place.and_then(|place| place.rsplit(':').nth(1)).and_then(|line| line.parse().ok());
        all.push(((*line).to_owned(), number.unwrap_or(0)));
    }
    all
}

#[test]
fn one_mistake_is_one_message_at_its_line() {
    let mut wrong = Vec::new();
    for case in cases() {
        let mut found: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, line) in told(&case.messages) {
            *found.entry(line).or_default() += 1;
        }
        let expected = expected(&case.source);
        assert!(!expected.is_empty(), "{}: no line is marked with `//~`", case.name);
        if found != expected {
            wrong.push(format!("{}: marked {expected:?}, told {found:?} (line: messages)", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_shows_an_internal_name() {
    let mut wrong = Vec::new();
    for case in cases() {
        for line in case.messages.lines() {
            for word in INTERNAL.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}: `{word}` in: {line}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A line of the compiler's without the names, numbers and texts of its case; nothing for the program's own lines.
fn without_names(line: &str) -> Option<String> {
    let line = line.trim_start();
    let from_the_program = line.starts_with(|c: char| c.is_ascii_digit())
        || ["-->", ":::", "..."].iter().any(|start| line.starts_with(start));
    if from_the_program {
        return None;
    }
    let line = line.trim_start_matches(['|', ' ', '^', '-', '_', '+', '~', '/', '=']);
    let mut out = String::new();
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '`' || c == '"' => {
                quote = Some(c);
                out.push('_');
            }
            None => out.push(c),
        }
    }
    Some(out).filter(|line| !line.is_empty())
}

#[test]
fn no_two_cases_differ_by_names_alone() {
    let mut seen: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let mut messages: Vec<String> = case.messages.lines().filter_map(without_names).collect();
        messages.sort();
        messages.dedup();
        if let Some(before) = seen.insert(messages, case.name.clone()) {
            wrong.push(format!("{before} and {}", case.name));
        }
    }
    assert!(wrong.is_empty(), "the same messages but for their names:\n{}", wrong.join("\n"));
}

#[test]
fn our_own_messages_say_what_to_write() {
    let mut wrong = Vec::new();
    for case in cases() {
        for (heading, _) in told(&case.messages) {
            // With a code it is the compiler's, with our words in a trait's label and notes.
            let Some(message) = heading.strip_prefix("error: ") else { continue };
            if message.starts_with("unused ") || message.starts_with("future cannot be sent") {
                continue;
            }
            let says = [
                "write",
                "did you mean",
                "there are",
                "there is",
                "leave",
                "remove",
                "rename",
                "use ",
                "return",
                "give it",
                "name another",
                "remove its",
            ];
            if !says.iter().any(|word| message.contains(word)) {
                wrong.push(format!("{}: {message}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "nothing to write in:\n{}", wrong.join("\n"));
}

#[test]
fn there_are_enough_of_them() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let (fail, pass) = (cases().len(), files(&ui.join("pass"), "rs").len());
    assert!(fail >= 60 && pass >= 15, "{fail} that fail and {pass} that pass");
}

#[test]
fn every_key_of_every_macro_has_a_case() {
    const KEYS: [(&[&str], &[&str]); 5] = [
        (
            &["model"],
            &[
                "table",
                "touches",
                "invalidate",
                "unique",
                "index",
                "cached",
                "crate",
                "id",
                "auto",
                "column",
                "json",
                "skip",
            ],
        ),
        (&["value", "model"], &["rename_all", "rename", "crate"]),
        (
            &["cached", "model"],
            &[
                "ttl",
                "jitter",
                "empty_ttl",
                "stale",
                "stale_if_error",
                "refresh_ahead",
                "soft_timeout",
                "timeout",
                "max_age",
                "lock",
                "max_loads",
                "tags",
                "enabled",
            ],
        ),
        (
            &["function", "cached", "model"],
            &[
                "key",
                "name",
                "skip",
                "depends",
                "via",
                "if",
                "version",
                "companions",
                "crate",
                "tags",
                "timeout",
                "stale",
            ],
        ),
        (&["invalidates", "model", "types"], &["keys", "tags", "patterns", "models", "via", "crate"]),
    ];
    let all = cases();
    let mut missing = Vec::new();
    for (rooms, keys) in KEYS {
        for key in keys {
            let forms = [format!("`{key}`"), format!("`{key}("), format!("`{key} = ")];
            let told = |case: &Case| {
                told(&case.messages)
                    .iter()
                    .any(|(heading, _)| forms.iter().any(|form| heading.contains(form)))
            };
            let of_rooms = |case: &&Case| rooms.iter().any(|room| case.name.starts_with(&format!("{room}/")));
            if !all.iter().filter(of_rooms).any(told) {
                missing.push(format!("{} of {}", key, rooms[0]));
            }
        }
    }
    assert!(missing.is_empty(), "no message about: {}", missing.join(", "));
}
