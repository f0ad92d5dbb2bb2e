//! What happens between two questions: a write, a transaction of some, or a write that pie does not see.

use fastrand::Rng;

use super::question::Question;
use super::random::Randomly;
use super::write::Write;
use crate::engine::Engine;
use crate::error::Result;
use crate::{ErrorKind, Tx};

/// How a transaction or a savepoint ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Commit,
    Rollback,
    Drop,
}

impl End {
    fn draw(rng: &mut Rng) -> Self {
        [Self::Commit, Self::Commit, Self::Rollback, Self::Drop][rng.usize(..4)]
    }

    async fn of(self, tx: Tx) -> Result<()> {
        match self {
            Self::Commit => tx.commit().await,
            Self::Rollback => tx.rollback().await,
            Self::Drop => {
                drop(tx);
                Ok(())
            }
        }
    }
}

/// A part of a transaction: writes, or a savepoint with some.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Write(Write),
    Read(Question),
    Savepoint(Vec<Write>, End),
}

/// Rows that a read under lock does not see.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unseen {
    FirstRow,
    AllRows,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Write),
    /// A write that does not see some rows when it reads the old ones, as if those had been committed just then.
    Unseen(Write, Unseen),
    Transaction(Vec<Part>, End),
    /// Past pie, which is told afterwards: of the ids, or of all.
    Elsewhere(Write, bool),
}

impl Step {
    pub(super) fn draw<M: Randomly>(rng: &mut Rng) -> Self {
        match rng.u8(..16) {
            0..=9 => Self::Write(Write::draw::<M>(rng)),
            10 => Self::Unseen(Write::draw::<M>(rng), Unseen::FirstRow),
            11 => Self::Unseen(Write::draw::<M>(rng), Unseen::AllRows),
            12..=14 => {
                let part = |rng: &mut Rng| match rng.u8(..6) {
                    0 => Part::Read(Question::draw::<M>(rng)),
                    1 | 2 => {
                        let writes = (0..rng.usize(..3)).map(|_| Write::draw::<M>(rng)).collect();
                        Part::Savepoint(writes, End::draw(rng))
                    }
                    _ => Part::Write(Write::draw::<M>(rng)),
                };
                let parts = (0..rng.usize(1..4)).map(|_| part(rng)).collect();
                Self::Transaction(parts, End::draw(rng))
            }
            _ => Self::Elsewhere(Write::draw::<M>(rng), rng.bool()),
        }
    }

    pub(super) fn show(&self) -> String {
        match self {
            Self::Write(write) => write.show(),
            Self::Unseen(write, unseen) => format!("{}, not seeing {unseen:?}", write.show()),
            Self::Elsewhere(write, ids) => format!("elsewhere {}, told of ids: {ids}", write.show()),
            Self::Transaction(parts, end) => {
                let part = |part: &Part| match part {
                    Part::Write(write) => write.show(),
                    Part::Read(question) => format!("read {}", question.show()),
                    Part::Savepoint(writes, end) => {
                        let writes = writes.iter().map(Write::show).collect::<Vec<_>>().join(" + ");
                        format!("savepoint ({writes}) {end:?}")
                    }
                };
                format!("transaction [{}] {end:?}", parts.iter().map(part).collect::<Vec<_>>().join(" + "))
            }
        }
    }

    pub(super) async fn run<M: Randomly>(
        &self,
        engine: &Engine,
        hide: impl Fn(Option<Unseen>),
    ) -> Result<()> {
        match self {
            Self::Write(write) => write.run::<M>(engine).await,
            Self::Unseen(write, unseen) => {
                hide(Some(*unseen));
                let done = write.run::<M>(engine).await;
                hide(None);
                done
            }
            Self::Transaction(parts, _) if !engine.has_transactions() => {
                for part in parts {
                    match part {
                        Part::Write(write) => write.run::<M>(engine).await?,
                        Part::Read(question) => drop(question.ask::<M>(engine, true).await?),
                        Part::Savepoint(writes, _) => {
                            for write in writes {
                                write.run::<M>(engine).await?;
                            }
                        }
                    }
                }
                Ok(())
            }
            Self::Transaction(parts, end) if engine.database().name() == "MongoDB" => {
                // There what is refused ends the transaction, and there are no savepoints.
                let tx = engine.begin().await?;
                let writes = parts.iter().flat_map(|part| match part {
                    Part::Write(write) => std::slice::from_ref(write),
                    Part::Savepoint(writes, _) => writes,
                    Part::Read(_) => &[],
                });
                for write in writes {
                    match write.attempt::<M>(&tx).await {
                        Err(error) if error.is_unique_violation() => return tx.rollback().await,
                        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
                        _ => {}
                    }
                }
                match end {
                    // The server of these tests keeps nothing apart, and would show what is not undone yet.
                    End::Drop => tx.rollback().await,
                    end => end.of(tx).await,
                }
            }
            Self::Transaction(parts, end) => {
                let tx = engine.begin().await?;
                for part in parts {
                    match part {
                        Part::Write(write) if engine.database().name() == "PostgreSQL" => {
                            // There what is refused ends the transaction, if it is not in a savepoint.
                            write.run_in_part::<M>(&tx).await?;
                        }
                        Part::Write(write) => write.run::<M>(&tx).await?,
                        Part::Read(question) => drop(question.ask::<M>(&tx, true).await?),
                        Part::Savepoint(writes, end) => {
                            let part = tx.savepoint().await?;
                            for write in writes {
                                if engine.database().name() == "PostgreSQL" {
                                    write.run_in_part::<M>(&part).await?;
                                } else {
                                    write.run::<M>(&part).await?;
                                }
                            }
                            end.of(part).await?;
                        }
                    }
                }
                end.of(tx).await
            }
            Self::Elsewhere(write, by_ids) => {
                let ids = write.run_elsewhere::<M>(engine).await?;
                // Not every database tells which rows an update changed.
                match ids {
                    Some(ids) if *by_ids && engine.database().returns().update => {
                        engine.invalidate::<M>(ids).await
                    }
                    _ => engine.invalidate_all::<M>().await,
                }
            }
        }
    }
}
