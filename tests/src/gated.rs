//! SQLite with a hand on it: reads can be counted, held in the middle, slowed down and made to fail.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pie::cache::BoxFuture;
use pie::database::{Database, RawRows, RawStatement, Returns, Row, Session, Transaction, Written};
use pie::model::Schema;
use pie::plan::{ReadPlan, WritePlan};
use pie::{Error, ErrorKind, TxOptions};
use tokio::sync::Semaphore;

/// What the hand does.
#[derive(Debug)]
pub struct Gate {
    /// How many more reads are held.
    closed: AtomicU64,
    failing: AtomicBool,
    panicking: AtomicBool,
    delay: Mutex<Duration>,
    /// In microseconds.
    sometimes: AtomicU64,
    /// Reads that began.
    begun: AtomicU64,
    running: AtomicU64,
    most: AtomicU64,
    open: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            closed: AtomicU64::default(),
            failing: AtomicBool::default(),
            panicking: AtomicBool::default(),
            delay: Mutex::default(),
            sometimes: AtomicU64::default(),
            begun: AtomicU64::default(),
            running: AtomicU64::default(),
            most: AtomicU64::default(),
            open: Semaphore::new(0),
        }
    }
}

impl Gate {
    /// Holds every read from now on, after its values were read, until it is let go.
    pub fn close(&self) {
        self.close_for(u64::MAX);
    }

    /// Holds the next reads, this many, after their values were read.
    pub fn close_for(&self, reads: u64) {
        self.closed.store(reads, Ordering::SeqCst);
    }

    /// Lets one held read go.
    pub fn let_one_go(&self) {
        self.open.add_permits(1);
    }

    /// Holds no more reads, and lets all go.
    pub fn open(&self) {
        self.closed.store(0, Ordering::SeqCst);
        self.open.add_permits(1_000_000);
    }

    /// Makes reads fail, or not.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Makes reads panic, or not.
    pub fn panic(&self, panicking: bool) {
        self.panicking.store(panicking, Ordering::SeqCst);
    }

    /// Makes each read take this long at least.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Makes every fourth read take up to this long, after its values were read.
    pub fn delay_sometimes(&self, delay: Duration) {
        self.sometimes.store(u64::try_from(delay.as_micros()).unwrap_or(0), Ordering::SeqCst);
    }

    /// How many reads began since the last call.
    pub fn begun(&self) -> u64 {
        self.begun.swap(0, Ordering::SeqCst)
    }

    /// How many reads ran at once, at most, so far.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }

    /// Waits until this many reads began since the count was taken last.
    pub async fn until_begun(&self, count: u64) {
        crate::until("the reads began", async || self.begun.load(Ordering::SeqCst) >= count).await;
    }
}

/// A database whose reads pass through a [`Gate`].
#[derive(Debug, Clone)]
pub struct Gated {
    inner: Arc<dyn Database>,
    gate: Arc<Gate>,
}

impl Gated {
    /// This database, behind this gate.
    #[must_use]
    pub fn new(inner: Arc<dyn Database>, gate: &Arc<Gate>) -> Self {
        Self { inner, gate: Arc::clone(gate) }
    }

    /// Writes past pie.
    ///
    /// # Panics
    /// The database refused.
    #[allow(clippy::expect_used, reason = "it fails a test")]
    pub async fn past_pie(&self, name: &str) {
        let statement = crate::databases::name_all(name);
        self.inner.session().raw(&statement).await.expect("writes");
    }
}

struct GatedSession(Box<dyn Session>, Arc<Gate>);

struct Counted<'g>(&'g Gate);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Session for GatedSession {
    #[allow(clippy::panic, reason = "it is what the test asked for")]
    fn read<'a>(&'a mut self, plan: &'a ReadPlan) -> BoxFuture<'a, pie::Result<Vec<Row>>> {
        Box::pin(async move {
            let gate = &*self.1;
            let running = gate.running.fetch_add(1, Ordering::SeqCst) + 1;
            let _counted = Counted(gate);
            gate.most.fetch_max(running, Ordering::SeqCst);
            let rows = self.0.read(plan).await;
            let number = gate.begun.fetch_add(1, Ordering::SeqCst);
            let sometimes = gate.sometimes.load(Ordering::SeqCst);
            if sometimes > 0 && number.is_multiple_of(4) {
                // Spread over the whole range, without a generator.
                let part = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % sometimes;
                tokio::time::sleep(Duration::from_micros(part)).await;
            }
            let delay = *gate.delay.lock().unwrap_or_else(PoisonError::into_inner);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let less = |reads: u64| reads.checked_sub(1);
            if gate.closed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
                && let Ok(permit) = gate.open.acquire().await
            {
                permit.forget();
            }
            if gate.panicking.load(Ordering::SeqCst) {
                panic!("a load that panics");
            }
            if gate.failing.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Database, "the database says no"));
            }
            rows
        })
    }

    fn write<'a>(&'a mut self, plan: &'a WritePlan) -> BoxFuture<'a, pie::Result<Written>> {
        self.0.write(plan)
    }

    fn raw<'a>(&'a mut self, statement: &'a RawStatement) -> BoxFuture<'a, pie::Result<RawRows>> {
        self.0.raw(statement)
    }
}

impl Database for Gated {
    fn name(&self) -> &'static str {
        "gated SQLite"
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(GatedSession(self.inner.session(), Arc::clone(&self.gate)))
    }

    fn begin(&self, options: TxOptions) -> BoxFuture<'_, pie::Result<Box<dyn Transaction>>> {
        self.inner.begin(options)
    }

    fn create_table(&self, schema: &'static Schema) -> BoxFuture<'_, pie::Result<()>> {
        self.inner.create_table(schema)
    }

    fn transactions(&self) -> bool {
        self.inner.transactions()
    }

    fn is_atomic(&self) -> bool {
        self.inner.is_atomic()
    }

    fn check_model(&self, schema: &'static Schema) -> pie::Result<()> {
        self.inner.check_model(schema)
    }

    fn returns(&self) -> Returns {
        self.inner.returns()
    }

    fn max_values(&self) -> usize {
        self.inner.max_values()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
