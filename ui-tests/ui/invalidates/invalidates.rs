//! Each of these attributes is wrong in one way.
#![allow(unused)]
use pie::prelude::*;

#[invalidates()]
async fn nothing(engine: &Engine) {}

#[invalidates(key("profile:{id}"))]
async fn unknown_key(engine: &Engine, id: i64) {}

#[invalidates(keys("profile:{user}"))]
async fn unknown_argument(engine: &Engine, id: i64) {}

#[invalidates(keys("profile:*"))]
async fn pattern(engine: &Engine) {}

#[invalidates(keys)]
async fn no_list(engine: &Engine) {}

#[invalidates(tags("users"), tags("others"))]
async fn twice(engine: &Engine) {}

#[invalidates(tags("users"))]
async fn no_engine(id: i64) {}

#[invalidates(tags("users"))]
fn not_async(engine: &Engine) {}

#[invalidates(tags("users"))]
struct NoFunction;

fn main() {}
