//! Data to tokens: a look into the cache around the function's own body, and the companions beside it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, ItemFn, Pat};

use super::ir::{CachedIr, Common, InvalidatesIr, Kind, Via, error_of, leaf, signature};
use super::template::{Part, Template};
use crate::common::crate_path::at;
use crate::common::policy;

/// A name that no name of the program can be.
fn own(name: &str) -> Ident {
    let name =
        if name.starts_with(char::is_uppercase) { format!("PIE_{name}") } else { format!("pie_{name}") };
    Ident::new(&name, Span::mixed_site())
}

/// A name of the program's own place, so that what the compiler says of its type is told there.
fn told_at(name: &str, span: Span) -> Ident {
    Ident::new(&format!("pie_{name}"), span)
}

/// `&["profile:", ":"], &[&id, &user.name]`: pieces and values in turn.
fn template(template: &Template) -> TokenStream {
    let (mut pieces, mut values) = (vec![String::new()], Vec::new());
    for part in &template.parts {
        match (part, pieces.last_mut()) {
            (Part::Literal(text), Some(last)) => last.push_str(text),
            (Part::Literal(text), None) => pieces.push(text.clone()),
            (Part::Value(value), _) => {
                values.push(quote_spanned!(value.span()=> &#value));
                pieces.push(String::new());
            }
        }
    }
    pieces.pop_if(|last| last.is_empty());
    quote!(&[#(#pieces),*], &[#(#values),*])
}

/// The pieces and values of the key.
fn key(ir: &CachedIr) -> TokenStream {
    if let Some(key) = &ir.key {
        return template(key);
    }
    let name = &ir.name;
    if ir.key_arguments.is_empty() {
        return quote!(&[#name], &[]);
    }
    let first = format!("{name}:");
    let commas = ir.key_arguments.iter().skip(1).map(|_| ",");
    let values = ir.key_arguments.iter().map(|argument| quote_spanned!(argument.span()=> &#argument));
    quote!(&[#first, #(#commas),*], &[#(#values),*])
}

/// What has to stand before, and the handle of the call.
fn via(common: &Common, p: &TokenStream) -> (TokenStream, TokenStream) {
    match &common.via {
        Via::Global => {
            let installed = own("installed");
            (quote!(let #installed = #p::installed();), quote!(#installed.via()))
        }
        Via::Expr(expr) => {
            // At the expression, so that what is no handle is told there; and with a name of its own, so that an engine that a call
            // gives lives as long as it is used.
            let (handle, p) = (told_at("handle", expr.span()), at(p, expr.span()));
            (quote!(let #handle = &(#expr);), quote_spanned!(expr.span()=> #p::Handle::via(#handle)))
        }
    }
}

/// The names of the arguments, to hand them on.
fn handed(item: &ItemFn) -> Vec<TokenStream> {
    item.sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Receiver(_) => quote!(self),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => {
                    let ident = &name.ident;
                    quote!(#ident)
                }
                other => quote!(#other),
            },
        })
        .collect()
}

/// The types and constants of a generic function, for a call of its companion.
fn turbofish(item: &ItemFn) -> Option<TokenStream> {
    let parameters: Vec<&Ident> = item
        .sig
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(ty) => Some(&ty.ident),
            GenericParam::Const(constant) => Some(&constant.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    (!parameters.is_empty()).then(|| quote!(::<#(#parameters),*>))
}

/// The call, up to the answer: what stands in the function.
fn call(item: &ItemFn, ir: &CachedIr, body: &TokenStream) -> TokenStream {
    let library = &ir.common.library;
    let p = &quote!(#library::__private);
    let CachedIr { name, version, depends, .. } = ir;
    let (call, shape, hit, function) = (own("call"), own("shape"), own("hit"), own("FUNCTION"));
    let output = &ir.common.output;
    let policy = policy::tokens(Some(&ir.policy), p);
    let text = format!("|{}|{version}", signature(item));
    let (let_via, via) = via(&ir.common, p);
    let of = if ir.receiver { quote!(#p::type_name::<Self>()) } else { quote!("") };
    let key = key(ir);
    let condition = own("if");
    let (let_condition, only_if) = match &ir.only_if {
        Some(only_if) => (
            quote_spanned!(only_if.span()=> let #condition: #p::bool = #only_if;),
            quote!(.only_if(#condition)),
        ),
        None => (quote!(), quote!()),
    };
    let tags = ir.tags.iter().map(|tag| {
        let tag = template(tag);
        quote!(#call.tag(#tag);)
    });
    let ended = ir.timeout.map(|span| {
        // At the key, so that a return type without room for the error is told there.
        quote_spanned!(span=> #p::Option::Some(<#output as #p::TimedOut>::timed_out))
    });
    let tags: Vec<TokenStream> = tags.collect();
    let detaching = ir.detaches.then(|| quote!(.detaching()));
    let later_name = own("later");
    let (renew, let_later, later) = if ir.detaches {
        let (detached, detached_name) = (detached(item, ir, p), own("detached"));
        let make = quote!(let #later_name = { #detached #call.later(#shape(), #detached_name) };);
        (
            quote! {
                if #call.is_aging() {
                    #(#tags)*
                    #make
                    #call.renew(&#shape(), #later_name);
                }
            },
            make,
            quote!(#later_name),
        )
    } else {
        (quote!(), quote!(), quote!(#p::Option::None))
    };
    let (outer, first) = (own("outer"), own("first"));
    let kinds = told_at("kinds", leaf(output).span());
    let error = told_at("error", error_of(output).span());
    // At the type itself, so that what cannot be stored is told there.
    let checks = quote_spanned! {leaf(output).span()=>
        #p::CacheValue::check(#kinds.leaf());
        #p::CopiedValue::check(#kinds.copied());
    };
    let checks_error = quote_spanned!(error_of(output).span()=> #p::CallError::check(#error););
    let checks = quote!(#checks #checks_error);
    // At the function's name, so that a body that cannot be sent is told there.
    let there = at(p, item.sig.ident.span());
    let body = quote_spanned!(item.sig.ident.span()=> #there::Box::pin(#body));
    let run = if ended.is_some() || ir.detaches {
        let ended = ended.unwrap_or_else(|| quote!(#p::Option::None));
        quote!(#shape().run_until(#call, #ended, #later, #body))
    } else {
        quote!(#shape().run(#call, #body))
    };
    quote! {
        static #function: #p::Function = #p::Function::new(
            #name,
            #policy,
            &[#(<#depends as #p::Model>::SCHEMA),*],
            #p::concat!(#p::module_path!(), #text),
        ) #detaching;
        use #p::questions::*;
        let #outer = #p::probe::<#output>().outer();
        let #first = #outer.inner().wrap();
        let #kinds = #first.with(#first.inner().wrap());
        let #error = #outer.error();
        #checks
        // Each time anew, as nothing but constants: in one place, a hit would write them into memory.
        let #shape = || #outer.shape(#kinds.stored(), #error.sharing());
        #let_condition
        #let_via
        let mut #call = #p::Call::new(&#function, #via, #of) #only_if;
        #call.key(#key);
        if let #p::Some(#hit) = #call.hit(&#shape()) {
            #renew
            return #hit;
        }
        #(#tags)*
        #let_later
        #run.await
    }
}

/// Whether a type is one of those that are only known behind a reference.
fn is_unsized(ty: &syn::Type) -> bool {
    match ty {
        syn::Type::Slice(_) => true,
        syn::Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| ["str", "Path", "OsStr", "CStr"].iter().any(|name| last.ident == name)),
        _ => false,
    }
}

/// `let pie_copy_0 = …;`, where an argument that cannot be copied is told at its place.
fn copied(copy: &Ident, ty: &TokenStream, from: &TokenStream, span: Span, p: &TokenStream) -> TokenStream {
    let p = at(p, span);
    let how = quote_spanned!(span=> #p::DetachedArgument::copied(#p::probe::<#ty>()));
    quote!(let #copy = #how(#from);)
}

/// `let pie_detached = …;`: a run of the function that borrows nothing, from copies of its arguments.
fn detached(item: &ItemFn, ir: &CachedIr, p: &TokenStream) -> TokenStream {
    let uncached = format_ident!("{}_uncached", item.sig.ident.unraw(), span = item.sig.ident.span());
    let (mut copies, mut handed) = (Vec::new(), Vec::new());
    for (i, argument) in item.sig.inputs.iter().enumerate() {
        let copy = own(&format!("copy_{i}"));
        match argument {
            FnArg::Receiver(receiver) if receiver.reference.is_some() => {
                copies.push(copied(&copy, &quote!(Self), &quote!(self), receiver.self_token.span, p));
                handed.push(quote!(&#copy));
            }
            FnArg::Receiver(receiver) => {
                let ty = &receiver.ty;
                copies.push(copied(&copy, &quote!(#ty), &quote!(&self), receiver.self_token.span, p));
                handed.push(quote!(#copy));
            }
            FnArg::Typed(typed) => {
                let Pat::Ident(name) = &*typed.pat else { continue };
                let ident = &name.ident;
                match &*typed.ty {
                    syn::Type::Reference(reference) if is_unsized(&reference.elem) => {
                        let elem = &reference.elem;
                        copies.push(quote_spanned!(ident.span()=> let #copy = <#elem as #p::ToOwned>::to_owned(#ident);));
                        handed.push(quote!(#p::Borrow::<#elem>::borrow(&#copy)));
                    }
                    syn::Type::Reference(reference) => {
                        let elem = &reference.elem;
                        copies.push(copied(&copy, &quote!(#elem), &quote!(#ident), ident.span(), p));
                        handed.push(quote!(&#copy));
                    }
                    ty => {
                        copies.push(copied(&copy, &quote!(#ty), &quote!(&#ident), ident.span(), p));
                        handed.push(quote!(#copy));
                    }
                }
            }
        }
    }
    let turbofish = turbofish(item);
    let path = if ir.receiver { quote!(Self::#uncached) } else { quote!(#uncached) };
    let name = own("detached");
    let output = &ir.common.output;
    quote! {
        #(#copies)*
        let #name: #p::Detached<#output> =
            #p::Box::pin(async move { #path #turbofish (#(#handed),*).await });
    }
}

/// The body as a future.
fn inline(item: &ItemFn, common: &Common) -> TokenStream {
    let (block, output) = (&item.block, &common.output);
    match common.kind {
        Kind::Async => {
            let returned = own("returned");
            quote! {
                async move {
                    // Tells the compiler the type before it sees the body: `?` needs it.
                    #[allow(unreachable_code, clippy::all, clippy::pedantic)]
                    if false {
                        let #returned: #output = loop {};
                        return #returned;
                    }
                    #block
                }
            }
        }
        Kind::Boxed => quote!(async move { #block.await }),
    }
}

pub(super) fn cached(item: &ItemFn, ir: &CachedIr) -> TokenStream {
    let ItemFn { attrs, vis, sig, .. } = item;
    let library = &ir.common.library;
    let p = &quote!(#library::__private);
    let plain = sig.ident.unraw();
    let hand = |suffix: &str| format_ident!("{plain}_{suffix}", span = sig.ident.span());
    let uncached = hand("uncached");
    let arguments = handed(item);
    let body = if ir.companions {
        let turbofish = turbofish(item);
        let path = if ir.receiver { quote!(Self::#uncached) } else { quote!(#uncached) };
        quote!(#path #turbofish (#(#arguments),*))
    } else {
        inline(item, &ir.common)
    };
    let main = call(item, ir, &body);
    let main = match ir.common.kind {
        Kind::Async => main,
        Kind::Boxed => quote!(#p::Box::pin(async move { #main })),
    };
    let quiet = quote!(#[allow(unused, clippy::all, clippy::pedantic, clippy::nursery)]);
    let function = quote! {
        #(#attrs)*
        #[allow(clippy::used_underscore_binding, clippy::items_after_statements)]
        #vis #sig { #main }
    };
    if !ir.companions {
        return function;
    }

    let signature_as = |ident: &Ident| {
        let mut sig = sig.clone();
        sig.ident = ident.clone();
        sig
    };
    let docs = |text: String| quote!(#[doc = #text]);
    let lints = attrs.iter().filter(|attribute| {
        ["allow", "expect", "warn", "deny", "cfg"].iter().any(|name| attribute.path().is_ident(name))
    });
    let lints: Vec<_> = lints.collect();
    // With its errors and panics: they are the same.
    let own_docs: Vec<_> = attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let docs_of_its_own = (!own_docs.is_empty()).then(|| quote!(#[doc = ""] #(#own_docs)*));
    let (block, uncached_sig) = (&item.block, signature_as(&uncached));
    let uncached_docs = docs(format!("`{plain}` past the cache."));
    let refresh = hand("refresh");
    let refresh_docs = docs(format!("Ends the cached value of a call of `{plain}`, then calls it."));
    let refresh_sig = signature_as(&refresh);

    // Companions that only need what is in the key.
    let wanted = |ident: &Ident| ir.needed.contains(ident);
    let inputs = |handle: bool| {
        let inputs = sig.inputs.iter().filter(|argument| match argument {
            FnArg::Receiver(_) => true,
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => {
                    wanted(&name.ident) || (handle && ir.handle.as_ref() == Some(&name.ident))
                }
                _ => false,
            },
        });
        let inputs: Vec<_> = inputs.collect();
        quote!(#(#inputs),*)
    };
    let (key_name, invalidate) = (hand("cache_key"), hand("invalidate"));
    let (generics, clause) = (&sig.generics, &sig.generics.where_clause);
    let (ended, key_of) = (own("ended"), key(ir));
    let key_docs = docs(format!("The key of a call of `{plain}` in the cache."));
    let invalidate_docs = docs(format!("Ends the cached value of `{plain}`.\n\n# Errors\nThe cache is off."));
    let (key_inputs, invalidate_inputs) = (inputs(false), inputs(true));
    let (let_via, via) = via(&ir.common, p);
    let (ident, turbofish) = (&sig.ident, turbofish(item));
    let itself = if ir.receiver { quote!(Self::#ident #turbofish) } else { quote!(#ident #turbofish) };
    // A refresh passes over a cache that is off; the invalidation by itself says so.
    quote! {
        #function

        #uncached_docs
        #docs_of_its_own
        #(#lints)*
        #vis #uncached_sig #block

        #refresh_docs
        #(#lints)*
        #quiet
        #vis #refresh_sig {
            #let_via
            let #ended = #p::end_key(#via, #key_of);
            let _ = #ended.await;
            #itself(#(#arguments),*).await
        }

        #key_docs
        #quiet
        #vis fn #key_name #generics (#key_inputs) -> #p::String #clause {
            #p::logical_key(#key_of)
        }

        #invalidate_docs
        #quiet
        #vis async fn #invalidate #generics (#invalidate_inputs) -> #p::Result<(), #p::Error> #clause {
            #let_via
            let #ended = #p::end_key(#via, #key_of);
            #ended.await
        }
    }
}

pub(super) fn invalidates(item: &ItemFn, ir: &InvalidatesIr) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = item;
    let Common { library, kind, output, .. } = &ir.common;
    let p = &quote!(#library::__private);
    let (ended, returned) = (own("ended"), own("returned"));
    let succeeded = own("succeeded");
    let (let_via, via) = via(&ir.common, p);
    let each = |method: Ident, templates: &[Template]| {
        let all = templates.iter().map(|parts_of| {
            let written = template(parts_of);
            quote!(#ended.#method(#written);)
        });
        quote!(#(#all)*)
    };
    let keys = each(format_ident!("key"), &ir.keys);
    let tags = each(format_ident!("tag"), &ir.tags);
    let patterns = each(format_ident!("pattern"), &ir.patterns);
    let models = &ir.models;
    let body = match kind {
        Kind::Async => quote! {
            async {
                #[allow(unreachable_code, clippy::all, clippy::pedantic)]
                if false {
                    let #returned: #output = loop {};
                    return #returned;
                }
                #block
            }
        },
        Kind::Boxed => quote!(#block),
    };
    let main = quote! {
        let mut #ended: #p::Invalidation = #p::Default::default();
        #keys
        #tags
        #patterns
        #(#ended.model(<#models as #p::Model>::SCHEMA);)*
        let #returned: #output = #body.await;
        let #succeeded = {
            #[allow(unused_imports)]
            use #p::questions::*;
            #p::probe::<#output>().outer().succeeded(&#returned)
        };
        if #succeeded {
            #let_via
            #ended.run(#via).await;
        }
        #returned
    };
    let main = match kind {
        Kind::Async => main,
        Kind::Boxed => quote!(#p::Box::pin(async move { #main })),
    };
    quote! {
        #(#attrs)*
        #[allow(clippy::used_underscore_binding, clippy::items_after_statements)]
        #vis #sig { #main }
    }
}
