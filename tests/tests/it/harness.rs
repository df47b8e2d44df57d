//! Does the harness do what the other tests rely on?

use berth_tests::db::TestDb;
use berth_tests::proxy::{Mode, Proxy, Upstream};
use berth_tests::world::World;
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn every_test_has_its_own_migrated_database() {
    let (one, two) = tokio::join!(TestDb::new(), TestDb::new());
    assert_ne!(one.name, two.name);
    let pool = one.pool().await;
    sqlx::query("insert into projects (name) values ('x')").execute(&pool).await.expect("migrated");
    pool.close().await;
    let backup = one.copy().await;
    for (db, expected) in [(&one, 1_i64), (&two, 0), (&backup, 1)] {
        let n: i64 = sqlx::query_scalar("select count(*) from projects")
            .fetch_one(&db.pool().await)
            .await
            .expect("migrated");
        assert_eq!(n, expected);
    }
}

#[tokio::test]
async fn a_database_can_be_reached_through_a_proxy() {
    let db = TestDb::new().await;
    let proxy = Proxy::start(Upstream::Unix(db.socket())).expect("it starts");
    let url = db.url_through(proxy.addr);
    let mut connection = PgConnection::connect(&url).await.expect("the proxy leads there");
    sqlx::query("select 1").execute(&mut connection).await.expect("it works");
    proxy.set(Mode::Cut);
    sqlx::query("select 1").execute(&mut connection).await.expect_err("the connection is cut");
    PgConnection::connect(&url).await.expect_err("and stays so");
    proxy.set(Mode::Pass);
    PgConnection::connect(&url).await.expect("until it works again");
}

#[tokio::test]
async fn a_world_starts_and_ends() {
    let w = World::builder().hosts(2).replicas(2).start().await;
    w.holds_nothing().await;
    w.finish().await;
}
