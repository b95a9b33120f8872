import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/**
 * A server that speaks MongoDB's protocol and keeps everything in memory, on the loopback interface.
 *
 * Arguments: the port, 0 for a free one, and optionally the wire version that it speaks. It writes the port as its first line, and ends when
 * its standard input does, so that it never outlives whoever started it.
 */
public final class MongoPeer {
    private record Version(int getWireVersion) implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0, 0);
        }
    }

    private MongoPeer() {}

    public static void main(String[] arguments) throws Exception {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Version(arguments.length > 1 ? Integer.parseInt(arguments[1]) : 13));
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println(server.getLocalAddress().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // Nothing is said on it.
        }
        server.shutdownNow();
        System.exit(0);
    }
}
