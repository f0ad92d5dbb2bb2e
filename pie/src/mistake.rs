//! Mistakes on purpose: switches in the shipped code, present in the crate's own tests alone, that the model check has to
//! find (`model_check.rs`), and those of the write path that the property test has to find (`property_check.rs`). Outside of those tests `mistake!(…)` is the constant `false`.

/// Small mistakes, each of which breaks a guarantee of the fence.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The local versions are read after the load instead of before it.
    LateSnapshot,
    /// The shared tokens are read after the load instead of before it.
    LateToken,
    /// An entry whose token is missing counts as valid.
    MissingTokenOk,
    /// The local versions are counted up before the shared tokens are removed.
    BumpFirst,
    /// The local versions are not counted up by the writer.
    NoOwnBump,
    /// The message is sent before the tokens are removed.
    PublishFirst,
    /// A reader joins any load of its key.
    JoinAny,
    /// A reader past the memory layers joins a load without comparing tokens.
    JoinNoToken,
    /// A new connection is trusted without asking which server it is.
    NoRunCheck,
    /// A server that others have marked is trusted, although this process spoke to another one until now.
    TrustsMarksOfOthers,
    /// What was read from a server stays in memory when another one comes in its place.
    KeepsWhatTheOldOneSaid,
    /// What became unsent while a read was under way is not seen by it.
    NoSecondLook,
    /// Nothing ends in this process when it subscribes again.
    NoReconnectBump,
    /// A value set by hand does not end the one before it.
    SetWithoutBump,
    /// A pattern ends what is stored, and not what is being loaded.
    GlobIgnoresFlights,
    /// A value past its time is served although it was invalidated.
    StaleAcrossBump,
    /// An entry does not depend on its tags.
    TagFoldedAway,
    /// A hit of a lower layer is written to the upper ones under the versions of then.
    BackfillWithoutSnapshot,
    /// The old values of an updated row are not invalidated.
    ForgetsOld,
    /// The new values of an updated row are not invalidated.
    ForgetsNew,
    /// An insert does not end "no such row".
    ForgetsNegatives,
    /// Indexes with a `NULL` in them are left out.
    ForgetsNull,
    /// The new values are those that the program gave, not those that the database has.
    NewFromProgram,
    /// An update by filter changes rows that were not locked.
    BeyondLocked,
    /// An upsert that found no old row is taken for an insert.
    UpsertAssumesInsert,
    /// A savepoint that is undone takes what was invalidated before it along.
    SavepointForgetsOuter,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// Makes this mistake, on this thread, from now on.
#[cfg(test)]
pub(crate) fn make(mistake: Option<Mistake>) {
    ACTIVE.set(mistake);
}

#[cfg(test)]
pub(crate) fn is_made(mistake: Mistake) -> bool {
    ACTIVE.get() == Some(mistake)
}

/// Whether this mistake is to be made: never, outside of the crate's own tests.
macro_rules! mistake {
    ($name:ident) => {{
        #[cfg(test)]
        {
            $crate::mistake::is_made($crate::mistake::Mistake::$name)
        }
        #[cfg(not(test))]
        {
            false
        }
    }};
}

/// A place where the scheduler of the model check may run something else, as another thread could; nothing elsewhere.
macro_rules! pause {
    () => {{
        #[cfg(test)]
        $crate::task::stepped::pause().await;
    }};
}
