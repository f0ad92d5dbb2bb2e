//! Variants that a text cannot stand for.
#[derive(Clone, pie::Value)]
enum Shape {
    Circle(f64), //~
    Square { side: f64 }, //~
    Point,
}

// The type is there all the same.
#[derive(Clone, pie::Model)]
struct Drawing {
    #[pie(id)]
    id: i64,
    #[pie(index)]
    shape: Shape,
}

fn main() {
    let _ = (Shape::Circle(1.0), Shape::Square { side: 1.0 }, Shape::Point);
}
