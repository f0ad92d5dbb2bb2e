//! The macros of `pie`. Use them through the `pie` crate, which documents what they generate.
//!
//! Each macro is the same three steps: `parse` (tokens to attributes, each with its span), `ir` (checked, plain data) and
//! `expand` (data to tokens, which cannot fail). All mistakes of one item are reported together, and what could be
//! understood of it is still expanded, so that one mistake is one message.

mod cache_key;
mod cached;
mod common;
mod function;
mod heap_size;
mod model;
mod value;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct a model; documented at `pie::Model`.
#[proc_macro_derive(Model, attributes(pie))]
pub fn derive_model(input: TokenStream) -> TokenStream {
    model::derive(input.into()).into()
}

/// Makes an enum or a newtype a column type; documented at `pie::Value`.
#[proc_macro_derive(Value, attributes(pie))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    value::derive(input.into()).into()
}

/// Makes a struct or an enum an argument of cached functions; documented at `pie::CacheKey`.
#[proc_macro_derive(CacheKey, attributes(pie))]
pub fn derive_cache_key(input: TokenStream) -> TokenStream {
    cache_key::derive(input.into()).into()
}

/// Counts what a struct or an enum holds on the heap; documented at `pie::HeapSize`.
#[proc_macro_derive(HeapSize, attributes(pie))]
pub fn derive_heap_size(input: TokenStream) -> TokenStream {
    heap_size::derive(input.into()).into()
}

/// Says how a model or a function is cached; documented at `pie::cached`.
#[proc_macro_attribute]
pub fn cached(arguments: TokenStream, item: TokenStream) -> TokenStream {
    cached::attribute(&arguments.into(), &item.into()).into()
}

/// Says what a function makes wrong in the cache; documented at `pie::invalidates`.
#[proc_macro_attribute]
pub fn invalidates(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::invalidates(arguments.into(), &item.into()).into()
}
