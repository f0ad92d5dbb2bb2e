//! The function's own documentation, lints, attributes and visibility stay as they are.
#![deny(warnings)]

pub mod users {
    use pie::prelude::*;

    /// Says where it is.
    ///
    /// # Errors
    /// Never.
    #[must_use = "it was looked up"]
    #[cached(ttl = "1m", via = global)]
    #[allow(unused_variables, clippy::unused_async)]
    #[cfg(all())]
    pub(crate) async fn find(id: i64, unused: u8) -> Result<i64, String> {
        Ok(id)
    }

    #[allow(deprecated, unused)]
    #[deprecated = "there is a better one"]
    #[cached(ttl = "1m", via = global)]
    pub(in crate::users) async fn old(id: i64) -> i64 {
        id
    }

    #[inline]
    #[cached(ttl = "1m", via = global)]
    #[invalidates(tags("users"), via = global)]
    pub async fn both(id: i64) -> i64 {
        id
    }

    #[allow(deprecated)]
    pub async fn use_them() -> Option<i64> {
        Some(find(1, 2).await.ok()? + old(1).await + both(1).await)
    }
}

fn main() {
    let _ = users::use_them();
    assert_eq!(users::find_cache_key(1, 2), "find:1,2");
}
