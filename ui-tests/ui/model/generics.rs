#[derive(pie::Model)]
struct User<T> { //~
    #[pie(id)]
    id: T,
}

fn main() {}
