//! Checked, plain data: what is here can be expanded without a further question.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::{Attribute, Ident, Path, Type, Visibility};

use super::parse::{Parsed, ParsedField};
use crate::common::case::{plural, snake};
use crate::common::errors::Errors;
use crate::common::policy::PolicyIr;

/// A model.
#[derive(Debug)]
pub(crate) struct ModelIr {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) library: TokenStream,
    /// The struct's name in snake_case.
    pub(crate) family: String,
    pub(crate) table: String,
    /// Fields that are columns; an index's numbers are places in this list.
    pub(crate) columns: Vec<ColumnIr>,
    /// Fields that are not in the database.
    pub(crate) skipped: Vec<(Ident, Type)>,
    pub(crate) id: IndexIr,
    pub(crate) uniques: Vec<IndexIr>,
    pub(crate) indexes: Vec<IndexIr>,
    pub(crate) policy: Option<PolicyIr>,
    /// Models that a write of this one changes as well.
    pub(crate) touches: Vec<Path>,
    /// Whether writes leave the cache alone.
    pub(crate) manual: bool,
}

/// A field that is a column.
#[derive(Debug)]
pub(crate) struct ColumnIr {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) column: String,
    pub(crate) auto: bool,
    pub(crate) json: bool,
}

/// An id, a unique constraint or an index.
#[derive(Debug, Clone)]
pub(crate) struct IndexIr {
    /// `email`, or `org_id_and_slug`.
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    /// Where names made from it point.
    pub(crate) span: Span,
}

impl ModelIr {
    /// Columns that a new row gives.
    pub(crate) fn given(&self) -> impl Iterator<Item = (usize, &ColumnIr)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.auto)
    }
}

fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn joined(columns: &[ColumnIr], places: &[usize]) -> String {
    places.iter().map(|place| plain(&columns[*place].ident)).collect::<Vec<_>>().join("_and_")
}

/// Checks attributes against each other. Gives a model also beside errors, as long as it has an id.
pub(crate) fn check(parsed: Parsed, errors: &mut Errors) -> Option<ModelIr> {
    let Parsed { ident, vis, library, table, uniques, indexes, policy, touches, manual, fields } = parsed;
    let family = snake(&plain(&ident));
    let table = table.unwrap_or_else(|| plural(&family));

    let mut columns: Vec<ColumnIr> = Vec::new();
    let mut skipped = Vec::new();
    let mut ids: Vec<(usize, Span)> = Vec::new();
    let mut single_uniques: Vec<(usize, Span)> = Vec::new();
    let mut single_indexes: Vec<(usize, Span)> = Vec::new();
    let auto_at = fields.iter().find_map(|field| field.auto.filter(|_| field.id.is_some()));
    for field in fields {
        check_field(&field, errors);
        if field.skip.is_some() {
            skipped.push((field.ident, field.ty));
            continue;
        }
        let place = columns.len();
        let key = |span: Option<Span>| span.filter(|_| field.json.is_none()).map(|span| (place, span));
        ids.extend(key(field.id));
        single_uniques.extend(key(field.unique.filter(|_| field.id.is_none())));
        single_indexes.extend(key(field.index.filter(|_| field.unique.is_none() && field.id.is_none())));
        let ParsedField { ident, vis, ty, docs, column, auto, id, json, .. } = field;
        columns.push(ColumnIr {
            column: column.unwrap_or_else(|| plain(&ident)),
            auto: auto.is_some() && id.is_some(),
            json: json.is_some(),
            ident,
            vis,
            ty,
            docs,
        });
    }

    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    for column in &columns {
        if seen.insert(&column.column, ()).is_some() {
            errors.push(&column.ident, format!("column `{}` stands for two fields: write another `#[pie(column = \"…\")]` on one of them", column.column));
        }
    }
    if columns.is_empty() {
        errors.push(
            &ident,
            "a model has columns: write its fields, and `#[pie(id)]` on the one that is the primary key",
        );
        return None;
    }
    if ids.is_empty() {
        errors.push(&ident, "a model has an id: write `#[pie(id)]` on the field that is the primary key");
        // As if it stood where it is most likely meant, so that nothing else is wrong because of it.
        let likely = columns.iter().position(|column| column.ident == "id").unwrap_or(0);
        ids.push((likely, columns[likely].ident.span()));
    }
    if ids.len() > 1
        && let Some(span) = auto_at
    {
        errors.add(syn::Error::new(
            span,
            "`auto` goes with a single id: an id of several fields is given in `insert`; leave `auto` away",
        ));
        columns.iter_mut().for_each(|column| column.auto = false);
    }

    let index = |places: Vec<usize>, span: Span, columns: &[ColumnIr]| IndexIr {
        name: joined(columns, &places),
        columns: places,
        span,
    };
    let id = IndexIr {
        name: "id".to_owned(),
        span: ids[0].1,
        columns: ids.iter().map(|(place, _)| *place).collect(),
    };
    let single = |list: Vec<(usize, Span)>| -> Vec<IndexIr> {
        list.into_iter().map(|(place, _)| index(vec![place], columns[place].ident.span(), &columns)).collect()
    };
    let mut all_uniques = single(single_uniques);
    let mut all_indexes = single(single_indexes);
    for (lists, out, word) in [(uniques, &mut all_uniques, "unique"), (indexes, &mut all_indexes, "index")] {
        for list in lists {
            let span = list.first().map_or_else(Span::call_site, Ident::span);
            if let Some(places) = places(&list, word, &columns, &skipped, errors) {
                out.push(index(places, span, &columns));
            }
        }
    }
    let mut model = ModelIr {
        ident,
        vis,
        library,
        family,
        table,
        columns,
        skipped,
        id,
        uniques: all_uniques,
        indexes: all_indexes,
        policy,
        touches,
        manual,
    };
    drop_clashes(&mut model, errors);
    Some(model)
}

fn check_field(field: &ParsedField, errors: &mut Errors) {
    if let Some(span) = field.auto.filter(|_| field.id.is_none()) {
        errors.add(syn::Error::new(span, "`auto` goes with `id`: write `#[pie(id, auto)]`"));
    }
    if field.skip.is_some() {
        let others = [field.id, field.unique, field.index, field.json, field.column_at];
        if let Some(span) = others.into_iter().flatten().next() {
            errors.add(syn::Error::new(
                span,
                "a skipped field is no column: leave its other attributes away, or `skip`",
            ));
        }
        return;
    }
    if field.json.is_some() && field.skip.is_none() {
        for (key, at) in [("id", field.id), ("unique", field.unique), ("index", field.index)] {
            if let Some(span) = at {
                errors.add(syn::Error::new(
                    span,
                    format!(
                        "a JSON column cannot be `{key}`, as its text has many forms: leave `{key}` away"
                    ),
                ));
            }
        }
    }
    if let Some(span) = field.unique.filter(|_| field.id.is_some()) {
        errors.add(syn::Error::new(span, "the id is unique already: leave `unique` away"));
    }
    if let Some(span) = field.index.filter(|_| field.unique.is_some() || field.id.is_some()) {
        let why = if field.id.is_some() { "the id" } else { "a unique column" };
        errors.add(syn::Error::new(span, format!("{why} has an index already: leave `index` away")));
    }
}

/// The columns of a composite key, by their fields' names.
fn places(
    list: &[Ident],
    word: &str,
    columns: &[ColumnIr],
    skipped: &[(Ident, Type)],
    errors: &mut Errors,
) -> Option<Vec<usize>> {
    if let [one] = list {
        errors.push(one, format!("`{word}` of a single field: write `#[pie({word})]` on the field"));
        return None;
    }
    let mut out = Vec::new();
    for ident in list {
        match columns.iter().position(|column| column.ident == *ident) {
            Some(place) if out.contains(&place) => {
                errors.push(
                    ident,
                    format!("field `{}` stands twice in `{word}`: remove one of them", plain(ident)),
                );
                return None;
            }
            Some(place) if columns[place].json => {
                errors.push(
                    ident,
                    format!("a JSON column cannot be `{word}`, as its text has many forms: leave it away"),
                );
                return None;
            }
            Some(place) => out.push(place),
            None if skipped.iter().any(|(skipped, _)| skipped == ident) => {
                errors.push(
                    ident,
                    format!(
                        "field `{}` is skipped, and no column: name another, or remove its `skip`",
                        plain(ident)
                    ),
                );
                return None;
            }
            None => {
                let known: Vec<String> = columns.iter().map(|column| plain(&column.ident)).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                errors.push(ident, crate::common::suggest::unknown("field", &plain(ident), &known));
                return None;
            }
        }
    }
    Some(out)
}

/// Refuses what would give two functions or two constants one name.
fn drop_clashes(model: &mut ModelIr, errors: &mut Errors) {
    let mut constants: BTreeMap<String, String> = BTreeMap::new();
    for column in &model.columns {
        let name = plain(&column.ident).to_uppercase();
        if let Some(first) = constants.insert(name.clone(), plain(&column.ident)) {
            errors.push(
                &column.ident,
                format!(
                    "field `{first}` and this one would both be the constant `{name}`: rename one of them"
                ),
            );
        }
    }
    let mut taken: Vec<String> = ["find_by_id", "find_by_ids", "key_by_id"].map(str::to_owned).to_vec();
    let mut keep = |index: &IndexIr, verb: &str, errors: &mut Errors| {
        let name = format!("{verb}_by_{}", index.name);
        let free = !taken.contains(&name);
        if free {
            taken.push(name);
        } else {
            errors.add(syn::Error::new(
                index.span,
                format!("this would generate `{name}`, which the model has already: remove one of them, or rename the field"),
            ));
        }
        free
    };
    model.uniques.retain(|index| keep(index, "find", errors));
    model.indexes.retain(|index| keep(index, "list", errors));
}
