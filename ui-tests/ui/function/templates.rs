//! Keys and tags with something in them that cannot be.
#![allow(unused)]
use pie::prelude::*;

#[cached(key = "profile:{user_id}")]
async fn unknown(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(key = "profile:*:{id}")]
async fn pattern(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(key = "profile:{id")]
async fn open(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(key = "profile:id}")]
async fn close(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(key = "profile:{}")]
async fn nothing(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(key = "")]
async fn empty(engine: &Engine) -> u64 { 1 }

#[cached(key = "profile:{a}{b}")]
async fn side_by_side(engine: &Engine, a: &str, b: &str) -> u64 { 1 }

#[cached(key = "profile:{a}-{b}")]
async fn dash(engine: &Engine, a: &str, b: &str) -> u64 { 1 }

#[cached(key = "profile:{id}")]
async fn forgotten(engine: &Engine, id: i64, locale: &str) -> u64 { 1 }

#[cached(key = profile)]
async fn no_text(engine: &Engine) -> u64 { 1 }

#[cached(tags("profile:{user}"))]
async fn tag(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(tags("profile:*"))]
async fn tag_pattern(engine: &Engine, id: i64) -> u64 { 1 }

#[cached(tags("a", "a"))]
async fn tag_twice(engine: &Engine) -> u64 { 1 }

#[cached(tags())]
async fn no_tags(engine: &Engine) -> u64 { 1 }

fn main() {}
