//! What a call does: keys, conditions, shapes of return, companions, arguments.

use super::*;

#[tokio::test]
async fn a_method_runs_once_and_its_key_tags_and_models_end_it() {
    let users = Users::new().await;
    let ann = Profile { id: 1, name: "user 1".into() };
    for _ in 0..3 {
        assert_eq!(users.profile(1).await, Ok(Some(ann.clone())));
    }
    assert_eq!(users.loads(), 1);
    assert_eq!(users.profile(2).await.map(|found| found.map(|profile| profile.id)), Ok(Some(2)));
    assert_eq!(users.loads(), 1, "another argument, another value");

    let cache = users.engine.cache();
    for way in 0..6 {
        match way {
            0 => cache.delete("profile:1").await.expect("deletes"),
            1 => cache.delete_by_tags(["profile:1"]).await.expect("deletes"),
            2 => cache.delete_by_pattern("profile:*").await.expect("deletes"),
            3 => users.rename(1, "new").await.expect("renames"),
            4 => users.profile_invalidate(1).await.expect("invalidates"),
            _ => drop(User::insert(&users.engine, NewUser { name: "x".into() }).await.expect("inserts")),
        }
        users.profile(1).await.expect("answers");
        assert_eq!(users.loads(), 1, "way {way}");
        users.profile(1).await.expect("answers");
        assert_eq!(users.loads(), 0);
    }
    assert!(users.rename(1, "").await.is_err());
    users.profile(1).await.expect("answers");
    assert_eq!(users.loads(), 0, "what failed ends nothing");
    users.clock.advance(Duration::from_secs(61));
    users.profile(1).await.expect("answers");
    assert_eq!(users.loads(), 1, "its time is over");
}

#[tokio::test]
async fn only_ok_is_stored_and_nothing_is_stored_shortly() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(
            users.profile(0).await,
            Err(AppError("no id".into())),
            "the program's own error, as it is"
        );
    }
    assert_eq!(users.loads(), 2);
    for _ in 0..2 {
        assert_eq!(users.profile(99).await, Ok(None));
    }
    assert_eq!(users.loads(), 1);
    users.clock.advance(Duration::from_secs(30));
    users.profile(99).await.expect("answers");
    assert_eq!(users.loads(), 1, "for the engine's `empty_cache_ttl`");
    assert!(users.list(0).await.is_empty() && users.list(0).await.is_empty());
    assert_eq!(users.loads(), 1);
    users.clock.advance(Duration::from_secs(10));
    assert!(users.list(0).await.is_empty());
    assert_eq!(users.loads(), 1, "for its own `empty_ttl`");
}

#[tokio::test]
async fn every_shape_of_return() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(users.plain().await, 1);
    }
    assert_eq!(users.loads(), 1);
    for _ in 0..2 {
        assert_eq!((users.option(true).await, users.option(false).await), (Some(7), None));
        assert_eq!(users.list(3).await, [0, 1, 2]);
        assert_eq!(users.alias(true).await, Ok(vec![1]));
        assert_eq!(users.maybe(true).await.map(|found| found.map(|one| one.id)), Ok(Some(1)));
        assert_eq!(users.maybe(false).await.map(|found| found.is_none()), Ok(true));
        assert_eq!(users.maybe_handle(true).await.map(|one| *one), Some(5));
        assert!(users.maybe_handle(false).await.is_none());
    }
    assert_eq!(users.loads(), 8);
    for _ in 0..2 {
        assert_eq!(
            users.alias(false).await,
            Err(AppError("no".into())),
            "an alias of `Result` is a `Result`"
        );
    }
    assert_eq!(users.loads(), 2);
    let (one, two) = (users.arc().await, users.arc().await);
    assert!(Arc::ptr_eq(&one, &two), "no copy");
    assert_eq!(users.loads(), 1);
    let first = users.handle().await.expect("answers");
    let again = users.handle().await.expect("answers");
    assert_eq!((first.source(), again.source(), first == again), (Source::Database, Source::Memory, true));
}

#[tokio::test]
async fn conditions_and_skipped_arguments() {
    let users = Users::new().await;
    assert_eq!(users.conditional(1, "a").await, users.conditional(1, "b").await);
    assert_eq!(users.loads(), 1);
    assert_ne!(users.conditional(0, "a").await, users.conditional(0, "a").await);
}

#[tokio::test]
async fn companions() {
    let users = Users::new().await;
    assert_eq!(users.profile_cache_key(7), "profile:7");
    users.profile(7).await.expect("answers");
    users.profile_uncached(7).await.expect("answers");
    assert_eq!(users.loads(), 2, "past the cache");
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 0, "which did not change");
    users.profile_refresh(7).await.expect("answers");
    assert_eq!(users.loads(), 1);
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 0, "what was refreshed is stored");
    users.engine.cache().delete(&users.profile_cache_key(7)).await.expect("deletes");
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 1);

    // An invalidation is carried out also while the cache is off, and then says so; a refresh runs.
    users.engine.cache().disable();
    let error = users.profile_invalidate(7).await.expect_err("the cache is off");
    assert_eq!(error.kind(), pie::ErrorKind::Disabled);
    users.profile_refresh(7).await.expect("answers");
    users.engine.cache().enable();
    assert_eq!(users.loads(), 1);
    users.profile(7).await.expect("answers");
    assert_eq!(users.loads(), 1, "what was cached before is not served");
}

#[derive(CacheKey)]
struct Search<'a> {
    text: &'a str,
    page: u32,
}

#[derive(CacheKey)]
enum Sort {
    Name,
    Age { descending: bool },
}

impl Users {
    #[cached(ttl = "1m", via = self.engine)]
    async fn search<T: CacheKey + Send + Sync>(&self, search: &Search<'_>, sort: Sort, more: T) -> Vec<u64> {
        let _ = (sort, more);
        vec![self.loaded(), u64::from(search.page)]
    }
}

#[tokio::test]
async fn arguments_of_the_programs_own_types_and_generic_ones() {
    let users = Users::new().await;
    let ask = async |text: &str, sort: Sort| {
        users.search(&Search { text, page: 1 }, sort, (1, "x")).await;
        users.loads()
    };
    assert_eq!(ask("a", Sort::Name).await, 1);
    assert_eq!(ask("a", Sort::Name).await, 0);
    assert_eq!(ask("b", Sort::Name).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: true }).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: false }).await, 1);
    assert_eq!(ask("a", Sort::Age { descending: true }).await, 0);
}
