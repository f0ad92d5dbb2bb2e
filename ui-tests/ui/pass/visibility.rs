//! Private, crate-wide and public models, in modules; and a future that can be sent.
#![deny(unused, unreachable_pub, private_interfaces)]

mod inner {
    #[derive(Debug, Clone, PartialEq, pie::Model)]
    pub(crate) struct Crate {
        #[pie(id, auto)]
        pub(crate) id: i64,
        hidden: String,
    }

    #[derive(pie::Model)]
    struct Private {
        #[pie(id, auto)]
        id: i64,
    }

    pub(crate) async fn run(engine: pie::Engine) -> pie::Result<()> {
        Private::find_by_id(&engine, 1).await?;
        Crate::insert(&engine, NewCrate { hidden: String::new() }).await?;
        Crate::update_by_id(&engine, 1).hidden("x").await?;
        Ok(())
    }
}

fn sendable<T: Send>(_: T) {}

fn main() {
    let _ = inner::Crate::ID.desc();
    let _ = |engine: pie::Engine| sendable(inner::run(engine));
    let _ = |engine: pie::Engine| {
        sendable(async move { inner::Crate::query(&engine).filter(inner::Crate::ID.gt(1)).page(1, 2).await });
    };
}
