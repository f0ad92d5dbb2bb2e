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
