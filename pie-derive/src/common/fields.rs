//! The fields of a struct or of an enum's variants, for derives that treat all of them alike.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, parse_quote};

use super::attributes::{entries, refuse_repeated};
use super::crate_path::library;
use super::errors::Errors;
use super::suggest;

/// What such a derive is of.
pub(crate) struct Derived {
    pub(crate) input: DeriveInput,
    /// The path of what generated code names.
    pub(crate) p: TokenStream,
    pub(crate) errors: Errors,
}

impl Derived {
    /// Reads the input of a derive that has no attribute but `crate`; `inner` is said of one at a field or a variant.
    ///
    /// # Errors
    /// The messages, where there is no struct or enum to go on with.
    pub(crate) fn read(input: TokenStream, name: &str, inner: &str) -> Result<Self, TokenStream> {
        let mut errors = Errors::default();
        let Some(input) = errors.keep(syn::parse2::<DeriveInput>(input)) else {
            return Err(errors.into_tokens());
        };
        let list = entries(&input.attrs, "pie", &mut errors);
        refuse_repeated(&list, &[], &mut errors);
        for entry in list.iter().filter(|entry| entry.key != "crate") {
            let place = format!("`#[pie]` beside `{name}`");
            errors.add(syn::Error::new(entry.span, suggest::unknown_key(&entry.key, &place, &["crate"])));
        }
        let library = library(&list, &mut errors);
        refuse_inner(&input.data, inner, &mut errors);
        Ok(Self { input, p: quote!(#library::__private), errors })
    }

    /// The implementation of a trait with this method, whose type parameters have to have the trait as well.
    pub(crate) fn implementation(mut self, of: &TokenStream, method: &TokenStream) -> TokenStream {
        let p = &self.p;
        for parameter in self.input.generics.type_params_mut() {
            parameter.bounds.push(parse_quote!(#p::#of));
        }
        let (ident, (generics, arguments, clause)) =
            (&self.input.ident, self.input.generics.split_for_impl());
        let errors = self.errors.into_tokens();
        quote! {
            #[automatically_derived]
            #[allow(clippy::all, clippy::pedantic)]
            impl #generics #p::#of for #ident #arguments #clause {
                #method
            }
            #errors
        }
    }
}

/// The pattern that binds the fields, and the names that it binds them to.
pub(crate) fn pattern(fields: &Fields) -> (TokenStream, Vec<syn::Ident>) {
    match fields {
        Fields::Named(named) => {
            let idents: Vec<_> = named.named.iter().filter_map(|field| field.ident.clone()).collect();
            let names: Vec<_> = (0..idents.len()).map(|i| format_ident!("field_{i}")).collect();
            (quote!({ #(#idents: #names),* }), names)
        }
        Fields::Unnamed(unnamed) => {
            let names: Vec<_> = (0..unnamed.unnamed.len()).map(|i| format_ident!("field_{i}")).collect();
            (quote!((#(#names),*)), names)
        }
        Fields::Unit => (quote!(), Vec::new()),
    }
}

/// Refuses attributes of fields and variants, for a derive that has none there.
fn refuse_inner(data: &Data, message: &str, errors: &mut Errors) {
    let (variants, fields): (Vec<_>, Vec<_>) = match data {
        Data::Struct(data) => (Vec::new(), data.fields.iter().collect()),
        Data::Enum(data) => (
            data.variants.iter().collect(),
            data.variants.iter().flat_map(|variant| variant.fields.iter()).collect(),
        ),
        Data::Union(_) => return,
    };
    let attributes =
        variants.iter().map(|variant| &variant.attrs).chain(fields.iter().map(|field| &field.attrs));
    for attribute in attributes.flatten().filter(|attribute| attribute.path().is_ident("pie")) {
        errors.push(attribute.path(), message);
    }
}
