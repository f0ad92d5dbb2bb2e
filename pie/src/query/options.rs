//! The cache options that every kind of read takes; one macro, so that they are the same everywhere.

/// Writes the option methods into an `impl` block of a type with an `options: Options` reachable by `$path`.
macro_rules! cache_options {
    ($($path:ident).+) => {
        /// Uses the cache, with this time to live. Zero means: not stored, not looked up.
        ///
        /// The engine's or the model's jitter applies to it; see [`jitter`](Self::jitter).
        pub fn cache(mut self, ttl: std::time::Duration) -> Self {
            self.$($path).+.ttl = Some(ttl);
            self.$($path).+.enabled = Some(true);
            self
        }

        /// Asks the database, and stores nothing.
        pub fn no_cache(mut self) -> Self {
            self.$($path).+.enabled = Some(false);
            self
        }

        /// Uses the cache, or not.
        pub fn cache_if(mut self, enabled: bool) -> Self {
            self.$($path).+.enabled = Some(enabled);
            self
        }

        /// Makes what is cached under the key invalid, asks the database, and stores the answer.
        pub fn refresh(mut self) -> Self {
            self.$($path).+.refresh = true;
            self
        }

        /// Uses the cache, and gives the value these tags in addition to the model's:
        /// [`delete_by_tags`](crate::cache::Cache::delete_by_tags) then drops it.
        pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
            self.$($path).+.tags = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
            self.$($path).+.enabled = Some(true);
            self
        }

        /// Draws the time to live of the value from `ttl - jitter` to `ttl + jitter`, so that values stored together do
        /// not all end together. Zero for none. Counts as at most the time to live.
        pub fn jitter(mut self, jitter: std::time::Duration) -> Self {
            self.$($path).+.jitter = Some(jitter);
            self
        }

        /// Uses the cache, and serves "no such row", an empty list or a count of 0 for this long, without jitter. Zero
        /// means that empty answers are not stored.
        pub fn cache_empty(mut self, ttl: std::time::Duration) -> Self {
            self.$($path).+.empty_ttl = Some(ttl);
            self.$($path).+.enabled = Some(true);
            self
        }
    };
}

pub(crate) use cache_options;
