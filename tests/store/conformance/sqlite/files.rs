//! The files of an open database are moved, deleted, replaced or reached by other names.

use std::os::unix::fs::symlink;

use super::*;

#[tokio::test]
async fn processes_that_name_the_database_by_a_link_share_its_bell_and_count_each_other() {
    let sqlite = sqlite().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    symlink(sqlite.path(), &link).unwrap();
    let other = open(link, &sqlite.clock);
    other.init().await.unwrap();
    acquire(&sqlite.store).await;
    let mut version = sqlite.store.observe(&default()).await.unwrap().unwrap().version;
    let mut hints = other.hints(&default());
    let renew_time = WallTime::from_unix(Duration::from_secs(2));
    let renewed = LeaseRecord { renew_time, ..held() };
    // It watches the folder soon after it has opened the file.
    let announced = async {
        loop {
            let hint = tokio::time::timeout(Duration::from_millis(200), hints.next()).await;
            if let Ok(Hint::Renewed(news)) = hint
                && news.listeners == Listeners::Sessions(2)
            {
                return;
            }
            let swapped = sqlite.store.swap(&default(), Some(&version), &renewed).await.unwrap();
            let Swapped::Won(written) = swapped else { panic!("{swapped:?}") };
            version = written;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), announced).await.expect("it is announced");
    let names = std::fs::read_dir(elsewhere.path()).unwrap().count();
    assert_eq!(names, 1, "all files are beside the database");
}
