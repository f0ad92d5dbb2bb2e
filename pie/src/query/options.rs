//! The cache options that every kind of read takes; one macro, so that they are the same everywhere.

/// Writes the option methods into an `impl` block of a type with a method `options_mut` that gives its `Options`.
macro_rules! cache_options {
    () => {
        /// Uses the cache, with this time to live. Zero means: not stored, not looked up.
        ///
        /// The engine's or the model's jitter applies to it; see [`jitter`](Self::jitter).
        pub fn cache(mut self, ttl: std::time::Duration) -> Self {
            self.options_mut().ttl = Some(ttl);
            self.options_mut().enabled = Some(true);
            self
        }

        /// Asks the database, and stores nothing.
        pub fn no_cache(mut self) -> Self {
            self.options_mut().enabled = Some(false);
            self
        }

        /// Uses the cache, or not.
        pub fn cache_if(mut self, enabled: bool) -> Self {
            self.options_mut().enabled = Some(enabled);
            self
        }

        /// Makes what is cached under the key invalid, asks the database, and stores the answer.
        pub fn refresh(mut self) -> Self {
            self.options_mut().refresh = true;
            self
        }

        /// Asks past the layers of this process: sees every write of any process whose invalidation Redis has
        /// acknowledged, not only those this process has heard of. Costs the round trip; memory learns nothing from it.
        pub fn skip_memory(mut self) -> Self {
            self.options_mut().skip_memory = true;
            self
        }

        /// Uses the cache, and gives the value these tags in addition to the model's:
        /// [`delete_by_tags`](crate::cache::Cache::delete_by_tags) then drops it.
        pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
            self.options_mut().more().tags = tags.into_iter().map(|tag| tag.as_ref().into()).collect();
            self.options_mut().enabled = Some(true);
            self
        }

        /// Draws the time to live of the value from `ttl - jitter` to `ttl + jitter`, so that values stored together do
        /// not all end together. Zero for none. Counts as at most the time to live.
        pub fn jitter(mut self, jitter: std::time::Duration) -> Self {
            self.options_mut().more().jitter = Some(jitter);
            self
        }

        /// Uses the cache, and serves "no such row", an empty list or a count of 0 for this long, without jitter. Zero
        /// means that empty answers are not stored.
        pub fn cache_empty(mut self, ttl: std::time::Duration) -> Self {
            self.options_mut().more().empty_ttl = Some(ttl);
            self.options_mut().enabled = Some(true);
            self
        }

        /// Serves a value for this much longer than its time to live, while one task loads it anew in the background.
        /// Never a value that was invalidated.
        pub fn stale(mut self, window: std::time::Duration) -> Self {
            self.options_mut().more().stale = Some(window);
            self
        }

        /// Serves a value for this much longer than its time to live when loading it anew fails, or takes longer than
        /// [`timeout`](Self::timeout) or [`soft_timeout`](Self::soft_timeout). After a failure the old value is served
        /// for a second (the engine's `error_throttle`) without trying again. Never a value that was invalidated.
        pub fn stale_if_error(mut self, window: std::time::Duration) -> Self {
            self.options_mut().more().stale_if_error = Some(window);
            self
        }

        /// Loads a value anew in the background when a hit finds that it has passed this part of its time to live: 0.8
        /// for the last fifth. Values from 0 to 1; 1 and more, or anything that is no number, means never.
        pub fn refresh_ahead(mut self, part: f64) -> Self {
            self.options_mut().more().refresh_ahead = Some(crate::query::policy::permille(part));
            self
        }

        /// Waits this long for a load when there is a value past its time that `stale` or `stale_if_error` allow; then
        /// serves that, and lets the load go on.
        pub fn soft_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options_mut().more().soft_timeout = Some(timeout);
            self
        }

        /// Waits at most this long for layers and load, and fails with
        /// [`ErrorKind::LoadTimeout`](crate::ErrorKind::LoadTimeout) then. Others that wait for the same load are not
        /// affected.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options_mut().more().timeout = Some(timeout);
            self
        }

        /// Serves no value that was loaded longer ago than this, whatever time to live it has and whatever else is said.
        pub fn max_age(mut self, age: std::time::Duration) -> Self {
            self.options_mut().more().max_age = Some(age);
            self
        }

        /// How long to wait for shared layers, such as Redis, before the database is asked; at most as long as the layer itself
        /// waits, which is 100 ms for Redis unless its `budget` says otherwise.
        pub fn l2_budget(mut self, budget: std::time::Duration) -> Self {
            self.options_mut().more().l2_budget = Some(budget);
            self
        }

        /// What to do when a cache layer fails and no other has the value: ask the database, as the engine does by default,
        /// serve a value past its time (within `stale_if_error`) before the database is asked, or fail with [`ErrorKind::Layer`](crate::ErrorKind::Layer).
        pub fn on_l2_down(mut self, what: crate::OnL2Down) -> Self {
            self.options_mut().more().on_l2_down = Some(what);
            self
        }

        /// Whether one process at a time loads the value, among all that share a layer; the others wait for it, for the
        /// engine's `lock_lease` at most. Reads of one value only: [`find_by_ids`](crate::query::FindMany) takes no locks.
        pub fn lock(mut self, lock: bool) -> Self {
            self.options_mut().more().lock = Some(lock);
            self
        }
    };
}

pub(crate) use cache_options;
