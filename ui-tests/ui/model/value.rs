#[derive(Clone, pie::Value)]
enum Shape {
    Circle(f64),
    Square,
}

#[derive(Clone, pie::Value)]
struct Point {
    x: i64,
}

#[derive(Clone, pie::Value)]
#[pie(rename_all = "snakecase")]
enum Kind {
    #[pie(rename = "b")]
    A,
    #[pie(rename = "b", name = "c")]
    B,
}

#[derive(Clone, pie::Value)]
enum Never {}

#[derive(Clone, pie::Value)]
struct Maybe(Option<i64>);

fn main() {}
