//! Methods of traits.

use super::*;

/// Any data source behind a trait.
trait Weather {
    fn degrees(&self, city: &str) -> impl Future<Output = Result<f64, AppError>> + Send;
}

impl Weather for Users {
    #[cached(ttl = "1m", key = "weather:{city}", via = self.engine)]
    async fn degrees(&self, city: &str) -> Result<f64, AppError> {
        self.loaded();
        if city.is_empty() {
            return Err(AppError("which city?".into()));
        }
        Ok(21.5)
    }
}

#[tokio::test]
async fn methods_of_traits() {
    let users = Users::new().await;
    for _ in 0..2 {
        assert_eq!(users.degrees("Bergen").await, Ok(21.5));
        assert!(users.degrees("").await.is_err());
    }
    assert_eq!(users.loads(), 3);
}

/// The same with `async_trait`, whose methods give boxed futures.
#[async_trait::async_trait]
trait Forecast {
    async fn tomorrow(&self, city: &str, days: Vec<u8>) -> Result<f64, AppError>;
    async fn forget(&self, city: &str) -> Result<(), AppError>;
}

#[async_trait::async_trait]
impl Forecast for Users {
    #[cached(ttl = "1m", name = "forecast", via = self.engine)]
    async fn tomorrow(&self, city: &str, days: Vec<u8>) -> Result<f64, AppError> {
        self.loaded();
        if days.is_empty() { Err(AppError(format!("no days for {city}"))) } else { Ok(20.0) }
    }

    #[invalidates(patterns("forecast:{city},*"), via = self.engine)]
    async fn forget(&self, city: &str) -> Result<(), AppError> {
        if city.is_empty() { Err(AppError("which city?".into())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn methods_of_async_trait() {
    let users: Arc<Users> = Arc::new(Users::new().await);
    let forecast: Arc<dyn Forecast + Send + Sync> = Arc::<Users>::clone(&users);
    for _ in 0..2 {
        assert_eq!(forecast.tomorrow("Bergen", vec![1]).await, Ok(20.0));
    }
    assert_eq!(users.loads(), 1);
    forecast.forget("Oslo").await.expect("forgets");
    forecast.tomorrow("Bergen", vec![1]).await.expect("answers");
    assert_eq!(users.loads(), 0);
    forecast.forget("Bergen").await.expect("forgets");
    forecast.tomorrow("Bergen", vec![1]).await.expect("answers");
    assert_eq!(users.loads(), 1);
    assert!(forecast.tomorrow("Bergen", Vec::new()).await.is_err());
}
