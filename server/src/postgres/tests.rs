//! Tests of the embedded cluster on a real Postgres.

use super::*;

fn data_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

async fn count(cluster: &Embedded, sql: &'static str) -> i64 {
    let mut db = cluster.options().connect().await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap()
}

#[tokio::test]
async fn a_cluster_is_made_borrowed_adopted_and_stopped() {
    let dir = data_dir();
    let first = Embedded::own(dir.path()).await.unwrap();
    let pid = first.postmaster().unwrap();
    let mut db = first.options().connect().await.unwrap();
    sqlx::raw_sql("create table t (n bigint); insert into t values (7)").execute(&mut db).await.unwrap();

    // an admin command uses it and leaves it running
    let borrowed = Embedded::borrow(dir.path()).await.unwrap();
    assert_eq!(count(&borrowed, "select n from t").await, 7);
    borrowed.stop().await.unwrap();
    assert_eq!(first.postmaster(), Some(pid));

    // a killed server lets go of the lock and leaves the postmaster; the next one adopts it
    drop(first);
    let second = Embedded::own(dir.path()).await.unwrap();
    assert_eq!(second.postmaster(), Some(pid));
    second.stop().await.unwrap();

    // and the data is there after a stop
    let third = Embedded::borrow(dir.path()).await.unwrap();
    assert_ne!(third.postmaster(), Some(pid));
    assert_eq!(count(&third, "select n from t").await, 7);
    third.stop().await.unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_and_a_stale_pid_file_do_no_harm() {
    let dir = data_dir();
    let home = dir.path().join("postgres");
    std::fs::create_dir_all(home.join("data.new/base")).unwrap();
    let cluster = Embedded::own(dir.path()).await.unwrap();
    cluster.stop().await.unwrap();
    // the pid of a process that is no Postgres
    let stale = format!("{}\n{}\n0\n5432\n\n\n", std::process::id(), home.join("data").display());
    std::fs::write(home.join("data/postmaster.pid"), stale).unwrap();
    let cluster = Embedded::own(dir.path()).await.unwrap();
    assert!(cluster.postmaster().is_some());
    cluster.stop().await.unwrap();
}

#[test]
fn a_deep_data_directory_gets_a_short_socket() {
    let deep = Path::new("/").join("d".repeat(90));
    assert!(socket_dir(&deep).starts_with("/run"));
    assert_ne!(socket_dir(&deep), socket_dir(&deep.join("e")));
    assert_eq!(
        socket_dir(Path::new("/var/lib/berth/server/postgres")),
        Path::new("/var/lib/berth/server/postgres/socket")
    );
}
