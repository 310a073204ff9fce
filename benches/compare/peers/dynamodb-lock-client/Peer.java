import com.amazonaws.services.dynamodbv2.AcquireLockOptions;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBLockClient;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBLockClientOptions;
import com.amazonaws.services.dynamodbv2.LockItem;
import java.net.URI;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;

/**
 * A candidate of Amazon's DynamoDB lock client, as its README has it, with its documented durations (20 s, a
 * heartbeat every 5 s, and a look at the lock every second) or the same in proportion. It leads while its lock has not
 * expired. The JVM cannot read the boot clock: the reader of the lines takes the time.
 */
public class Peer {
    public static void main(String[] arguments) throws Exception {
        String seconds = System.getenv("LEASE").replace("s", "");
        long lease = Long.parseLong(seconds) * 1000;
        boolean works = System.getenv("WORK") != null;
        DynamoDbClient dynamodb = DynamoDbClient.builder()
                .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL")))
                .build();
        AmazonDynamoDBLockClient client = new AmazonDynamoDBLockClient(
                AmazonDynamoDBLockClientOptions.builder(dynamodb, "leases")
                        .withTimeUnit(TimeUnit.MILLISECONDS)
                        .withLeaseDuration(lease)
                        .withHeartbeatPeriod(lease / 4)
                        .withCreateHeartbeatBackgroundThread(true)
                        .build());
        LockItem lock = client.acquireLock(AcquireLockOptions.builder(System.getenv("ELECTION"))
                .withTimeUnit(TimeUnit.MILLISECONDS)
                .withAdditionalTimeToWaitForLock(3_600_000L)
                .withRefreshPeriod(lease / 20)
                .build());
        System.out.println("lead");
        Runtime.getRuntime().addShutdownHook(new Thread(lock::close));
        while (!lock.isExpired()) {
            if (works) {
                System.out.println("act");
            }
            Thread.sleep(works ? 5 : 500);
        }
        System.out.println("stop");
        // The shutdown hook would free what another holds by now.
        Runtime.getRuntime().halt(0);
    }
}
