//! `#[derive(Value)]`: enums without fields as text, newtypes as what they wrap.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Ident, Type};

use crate::common::attributes::{entries, refuse_repeated};
use crate::common::case::{CASES, rename};
use crate::common::crate_path::{at, library};
use crate::common::errors::Errors;
use crate::common::suggest;

/// What the type is, checked.
enum Kind {
    /// The variants and the texts that stand for them.
    Enum(Vec<(Ident, String)>),
    /// The only field of a tuple struct.
    Newtype(Box<Type>),
}

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(input) = errors.keep(syn::parse2::<DeriveInput>(input)) else { return errors.into_tokens() };
    let list = entries(&input.attrs, "pie", &mut errors);
    let library = library(&list, &mut errors);
    let p = quote!(#library::__private);
    let expanded = match check(&input, &list, &mut errors) {
        Some(kind) => expand(&input.ident, &kind, &p),
        None => stub(&input, &p),
    };
    let errors = errors.into_tokens();
    quote!(#expanded #errors)
}

fn check(
    input: &DeriveInput,
    list: &[crate::common::attributes::Entry],
    errors: &mut Errors,
) -> Option<Kind> {
    refuse_repeated(list, &[], errors);
    if !input.generics.params.is_empty() {
        errors.push(
            &input.generics,
            "a column type has no generic parameters: write one for each type, such as `struct UserId(i64);`",
        );
        return None;
    }
    let is_enum = matches!(input.data, Data::Enum(_));
    let mut case = None;
    for entry in list {
        match entry.key.as_str() {
            "crate" => {}
            "rename_all" if is_enum => {
                let Some(text) = errors.keep(entry.text("rename_all = \"snake_case\"")) else { continue };
                if CASES.contains(&text.value().as_str()) {
                    case = Some(text.value());
                } else {
                    errors.push(&text, suggest::unknown("case", &text.value(), &CASES));
                }
            }
            "rename_all" => errors.add(syn::Error::new(
                entry.span,
                "`rename_all` is for enums: a newtype has no variants; leave it away",
            )),
            other => errors.add(syn::Error::new(
                entry.span,
                suggest::unknown_key(other, "`#[pie]` on a column type", &["rename_all", "crate"]),
            )),
        }
    }
    match &input.data {
        Data::Enum(data) => {
            if data.variants.is_empty() {
                errors.push(
                    &input.ident,
                    "an enum without variants has no values to store: write its variants",
                );
                return None;
            }
            let mut variants: Vec<(Ident, String)> = Vec::new();
            let mut whole = true;
            for variant in &data.variants {
                if !matches!(variant.fields, Fields::Unit) {
                    errors.push(&variant.fields, "a variant with fields does not fit in a column: write `#[pie(json)]` on the model's field instead");
                    whole = false;
                }
                let name = variant.ident.to_string();
                let mut text = case.as_deref().and_then(|case| rename(&name, case)).unwrap_or(name);
                let own = entries(&variant.attrs, "pie", errors);
                refuse_repeated(&own, &[], errors);
                for entry in &own {
                    if entry.key == "rename" {
                        if let Some(given) = errors.keep(entry.text("rename = \"name\"")) {
                            text = given.value();
                        }
                    } else {
                        errors.add(syn::Error::new(
                            entry.span,
                            suggest::unknown_key(&entry.key, "`#[pie]` on a variant", &["rename"]),
                        ));
                    }
                }
                if let Some((first, _)) = variants.iter().find(|(_, other)| *other == text) {
                    errors.push(
                        &variant.ident,
                        format!("variants `{first}` and `{}` would both be \"{text}\": write another `#[pie(rename = \"…\")]` on one of them", variant.ident),
                    );
                }
                variants.push((variant.ident.clone(), text));
            }
            whole.then_some(Kind::Enum(variants))
        }
        Data::Struct(data) => match &data.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                fields.unnamed.first().map(|field| Kind::Newtype(Box::new(field.ty.clone())))
            }
            _ => {
                errors.push(
                    &input.ident,
                    "a column type is an enum without fields or a newtype: write `struct Name(i64);`, or `#[pie(json)]` on the model's field",
                );
                None
            }
        },
        Data::Union(data) => {
            errors
                .push(&data.union_token, "a column type is an enum without fields or a newtype: write `struct Name(i64);` in place of the union");
            None
        }
    }
}

/// What stands for the implementation beside a mistake, so that nothing else is wrong because of it.
fn stub(input: &DeriveInput, p: &TokenStream) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let ident = &input.ident;
    quote! {
        impl #p::Value for #ident {
            const TYPE: #p::ColumnType = #p::ColumnType::Text;
            const SHAPE: #p::u64 = 0;
            fn to_datum(&self) -> #p::Datum<'_> {
                #p::Datum::Null
            }
            fn from_datum(_: #p::Datum<'static>) -> #p::Result<Self, #p::ValueError> {
                #p::Err(#p::ValueError::Null)
            }
        }
    }
}

fn expand(ident: &Ident, kind: &Kind, p: &TokenStream) -> TokenStream {
    let body = match kind {
        Kind::Enum(variants) => {
            let (names, texts): (Vec<_>, Vec<_>) = variants.iter().map(|(name, text)| (name, text)).unzip();
            let shape = format!(
                "enum {}",
                variants.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(",")
            );
            quote! {
                const TYPE: #p::ColumnType = #p::ColumnType::Text;
                const SHAPE: #p::u64 = #p::fingerprint(#shape);
                fn to_datum(&self) -> #p::Datum<'_> {
                    #p::text(match self { #(Self::#names => #texts),* })
                }
                fn from_datum(datum: #p::Datum<'static>) -> #p::Result<Self, #p::ValueError> {
                    #p::variant(datum, &[#((#texts, Self::#names)),*])
                }
            }
        }
        Kind::Newtype(inner) => {
            // All at the type, so that the compiler has one thing to say of one that cannot be stored.
            let of = quote_spanned!(inner.span()=> <#inner as #p::Value>);
            let [to, from] = ["to_datum", "from_datum"].map(|name| {
                let name = Ident::new(name, inner.span());
                quote_spanned!(inner.span()=> #of::#name)
            });
            quote! {
                const TYPE: #p::ColumnType = #of::TYPE;
                const SHAPE: #p::u64 = #of::SHAPE;
                fn to_datum(&self) -> #p::Datum<'_> {
                    #to(&self.0)
                }
                fn from_datum(datum: #p::Datum<'static>) -> #p::Result<Self, #p::ValueError> {
                    #p::Ok(Self(#from(datum)?))
                }
            }
        }
    };
    let heap = match kind {
        Kind::Enum(_) => quote!(0),
        Kind::Newtype(inner) => {
            let heap = quote_spanned!(inner.span()=> <#inner as #p::Value>::heap_bytes);
            quote!({
                #[allow(unused_imports)]
                use #p::questions::*;
                #p::HeapOf::new(&self.0, #heap).heap_bytes()
            })
        }
    };
    let check = match kind {
        Kind::Newtype(inner) => {
            let at = at(p, inner.span());
            quote_spanned!(inner.span()=> const _: () = #at::assert!(
                !<#inner as #at::Value>::NULLABLE,
                "an `Option` in a newtype, which may stand in an `Option` itself: write the newtype without it, and `Option` in the model"
            );)
        }
        Kind::Enum(_) => TokenStream::new(),
    };
    quote! {
        #check
        #[automatically_derived]
        impl #p::Value for #ident { #body }
        #[automatically_derived]
        impl #p::HeapSize for #ident {
            fn heap_size(&self) -> #p::usize {
                #heap
            }
        }
    }
}
