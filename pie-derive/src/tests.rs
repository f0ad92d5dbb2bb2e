//! Expansion snapshots: what the macros generate, pinned. `PIE_BLESS=1` writes them anew; the difference is read in review.

use std::path::Path;

use proc_macro2::TokenStream;

fn check(name: &str, input: &str, expand: impl Fn(TokenStream) -> TokenStream) {
    let tokens: TokenStream = input.parse().expect("the input is Rust");
    let expanded = expand(tokens.clone());
    assert_eq!(expanded.to_string(), expand(tokens).to_string(), "the expansion is deterministic");
    let file = syn::parse2::<syn::File>(expanded).expect("the expansion is Rust");
    let text = format!("// Input:\n{}\n// Output:\n{}", commented(input), prettyplease::unparse(&file));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/snapshots").join(format!("{name}.rs.snap"));
    if std::env::var_os("PIE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("can be made");
        std::fs::write(&path, text).expect("can be written");
        return;
    }
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        pinned == text,
        "the expansion of `{name}` changed; run with PIE_BLESS=1 and read the difference"
    );
}

fn commented(input: &str) -> String {
    input.trim().lines().map(|line| format!("// {line}\n")).collect()
}

#[test]
fn a_usual_model() {
    check(
        "user",
        r#"
#[cached(ttl = "5m", jitter = "2m", empty_ttl = "30s", tags("users"))]
pub struct User {
    #[pie(id, auto)]
    pub id: i64,
    #[pie(unique)]
    pub email: String,
    #[pie(index)]
    pub status: String,
    pub age: i32,
}
"#,
        crate::model::derive,
    );
}

#[test]
fn a_model_with_everything() {
    check(
        "everything",
        r#"
#[pie(table = "memberships", unique(org_id, slug), index(kind, since), crate = my::pie)]
pub(crate) struct Membership {
    #[pie(id)]
    org_id: Uuid,
    #[pie(id)]
    user_id: i64,
    slug: String,
    #[pie(column = "type")]
    pub kind: Kind,
    since: Option<DateTime<Utc>>,
    #[pie(json)]
    settings: Settings,
    #[pie(skip)]
    cache: Vec<u8>,
}
"#,
        crate::model::derive,
    );
}

#[test]
fn column_types() {
    check(
        "kind",
        r#"#[pie(rename_all = "snake_case")] enum Kind { Owner, #[pie(rename = "guest-user")] Guest }"#,
        crate::value::derive,
    );
    check("user_id", "struct UserId(i64);", crate::value::derive);
}

#[test]
fn what_is_on_the_heap() {
    check(
        "heap_size",
        "enum Contact<T> { Mail(String), Phone { prefix: u16, number: T }, None }",
        crate::heap_size::derive,
    );
}

#[test]
fn cached_above_the_derive_moves_behind_it() {
    check("above", "#[derive(Debug, pie::Model)] struct User { #[pie(id)] id: i64 }", |item| {
        crate::cached::attribute(&"ttl = \"5m\"".parse().expect("tokens"), &item)
    });
    check("below", "struct User { #[pie(id)] id: i64 }", |item| {
        crate::cached::attribute(&"ttl = \"5m\"".parse().expect("tokens"), &item)
    });
}

#[test]
fn functions() {
    let cached = |arguments: &'static str| {
        move |item: TokenStream| crate::cached::attribute(&arguments.parse().expect("tokens"), &item)
    };
    check(
        "function",
        "/// Counts. pub async fn count(engine: &Engine, status: &str) -> pie::Result<u64> { Ok(1) }"
            .replace(". pub", ".\npub")
            .as_str(),
        cached("ttl = \"5m\""),
    );
    check(
        "trait_method",
        "async fn profile(&self, id: i64) -> Option<Profile> { None }",
        cached(
            "key = \"profile:{id}\", tags(\"profile:{id}\"), depends(User), via = self.engine, if = id > 0",
        ),
    );
    check("invalidates", "pub async fn rename(&self, id: i64) -> Result<(), Error> { Ok(()) }", |item| {
        let arguments = "keys(\"profile:{id}\"), tags(\"users\"), models(User), via = self.engine";
        crate::function::invalidates(arguments.parse().expect("tokens"), &item)
    });
    check("cache_key", "enum Sort<T> { Name, Age { descending: bool }, By(T) }", crate::cache_key::derive);
}

#[test]
fn all_mistakes_are_reported_together() {
    let input: TokenStream = r#"
        #[pie(tabel = "users")]
        #[cached(ttl = "5x", jiter = "1s")]
        struct User { #[pie(id, uniq)] id: i64, #[pie(auto)] age: i32 }
    "#
    .parse()
    .expect("tokens");
    let text = crate::model::derive(input).to_string();
    assert_eq!(text.matches("compile_error").count(), 5, "{text}");
    assert!(text.contains("impl"), "what could be understood is generated all the same");
}

/// The sections of a page: headings, and whether an example stands below them.
fn sections(page: &str) -> Vec<(&str, bool)> {
    let (mut all, mut in_example): (Vec<(&str, bool)>, bool) = (Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            in_example = !in_example;
            if let Some(last) = all.last_mut() {
                last.1 = true;
            }
        } else if line.starts_with('#') && !in_example {
            all.push((line, false));
        }
    }
    all
}

#[test]
fn every_key_has_a_heading_and_an_example() {
    let cached = include_str!("../../pie/docs/cached.md");
    let functions = &cached[cached.find("# Functions").expect("a part about functions")..];
    let pages: [(&str, &str, Vec<&str>); 7] = [
        ("cached", cached, crate::common::policy::KEYS.to_vec()),
        ("cached, functions", functions, crate::function::OWN_KEYS.to_vec()),
        (
            "invalidates",
            include_str!("../../pie/docs/invalidates.md"),
            crate::function::INVALIDATES_KEYS.to_vec(),
        ),
        (
            "model",
            include_str!("../../pie/docs/model.md"),
            crate::model::parse::STRUCT_KEYS
                .iter()
                .chain(&crate::model::parse::FIELD_KEYS)
                .copied()
                .collect(),
        ),
        ("value", include_str!("../../pie/docs/value.md"), vec!["rename_all", "rename", "crate"]),
        ("cache_key", include_str!("../../pie/docs/cache_key.md"), vec!["crate"]),
        ("heap_size", include_str!("../../pie/docs/heap_size.md"), vec!["crate"]),
    ];
    for (name, page, keys) in pages {
        let sections = sections(page);
        for key in keys {
            let of_key = |heading: &str| {
                heading.contains(&format!("`{key}`")) || heading.contains(&format!("`{key}(…)`"))
            };
            let with_example = sections.iter().any(|(heading, example)| *example && of_key(heading));
            assert!(with_example, "`{key}` has no heading with an example in {name}.md");
        }
    }
}
