//! Nothing but a place for the compile tests in `tests/ui.rs`.
