//! What stands for a model that is none, so that nothing else is wrong because of that one mistake.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::DeriveInput;

use crate::common::attributes::entries;
use crate::common::crate_path::library;
use crate::common::errors::Errors;

/// The functions that every model has, and its trait; nothing for a generic type.
pub(crate) fn stub(input: &DeriveInput) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    // Mistakes in these attributes are told after this one.
    let mut unsaid = Errors::default();
    let library = library(&entries(&input.attrs, "pie", &mut unsaid), &mut unsaid);
    let p = quote!(#library::__private);
    let (ident, vis, new) = (&input.ident, &input.vis, format_ident!("New{}", input.ident));
    let id = quote!(<Self as #p::Model>::SCHEMA.id);
    quote! {
        #[allow(dead_code)]
        #vis struct #new;
        #[allow(dead_code)]
        impl #ident {
            #vis fn query<'a>(on: &'a impl #p::Handle) -> #p::Query<'a, Self, #p::Rows> {
                #p::query(on)
            }
            #vis fn find_by_id<'a, T>(on: &'a impl #p::Handle, _: T) -> #p::Query<'a, Self, #p::First> {
                #p::find(on, &#id, #p::args([]))
            }
            #vis fn delete_by_id<'a, T>(on: &'a impl #p::Handle, _: T) -> #p::DeleteOne<'a, Self> {
                #p::delete(on, #p::args([]))
            }
        }
        impl #p::Model for #ident {
            const SCHEMA: &'static #p::Schema = &#p::Schema::new(
                "", "", "", &[], #p::Index::new("", "", &[]), &[], &[], #p::Policy::ON, 0,
                {
                    static GROUP: #p::GroupId = #p::GroupId::model("");
                    || &GROUP
                },
            );
            type Id = #p::u64;
            type New = #new;
            fn from_row(_: #p::RowReader) -> #p::Result<Self, #p::Error> {
                loop {}
            }
            fn datum(&self, _: #p::usize) -> #p::Result<#p::Datum<'_>, #p::ValueError> {
                #p::Ok(#p::Datum::Null)
            }
        }
        impl #p::HeapSize for #ident {
            fn heap_size(&self) -> #p::usize {
                0
            }
        }
        impl #p::NewRow for #new {
            type Model = #ident;
            const COLUMNS: &'static [#p::usize] = &[];
            fn into_values(self) -> #p::Result<#p::Vec<#p::Datum<'static>>, #p::ValueError> {
                #p::Ok(#p::Default::default())
            }
        }
    }
}
