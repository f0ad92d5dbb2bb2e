import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.net.InetSocketAddress;
import java.util.List;

/** A server that speaks MongoDB's protocol, for tests: `java -cp … Server.java PORT`. */
public class Server {
    /** What it says it is: the library says 5.0 with the number of an older protocol, which the driver does not take. */
    record Version(List<Integer> getVersionArray, int getWireVersion) implements MongoVersion {}

    public static void main(String[] arguments) {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Version(List.of(5, 0, 0), 13));
        MongoServer server = new MongoServer(backend);
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        System.out.println("up");
    }
}
