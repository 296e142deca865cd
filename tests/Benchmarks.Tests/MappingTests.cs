namespace KataLike.Benchmarks.Tests;

public class MappingTests
{
    private const string Smaps = """
        7f0000000000-7f0020000000 rw-s 00000000 00:01 4711                       /memfd:memory-backend-memfd (deleted)
        Size:             524288 kB
        Pss:               30000 kB
        Pss_Dirty:         10000 kB
        Anonymous:             0 kB
        VmFlags: rd wr sh mr mw me
        7f1000000000-7f1008000000 rw-p 00000000 fe:00 99                         /var/cache/a template
        Size:             131072 kB
        Pss:                 200 kB
        Anonymous:           120 kB
        7f2000000000-7f2010000000 rw-p 00000000 00:00 0
        Size:             262144 kB
        Pss:                  64 kB
        Anonymous:            64 kB
        7f2800000000-7f2808000000 rw-s 00000000 fe:00 98                         /var/lib/memory of a machine
        Size:             131072 kB
        Pss:                 100 kB
        Anonymous:             0 kB
        7f3000000000-7f3000010000 r--p 00000000 fe:00 7                          /usr/lib/libc.so.6
        Size:                 64 kB
        Pss:                  16 kB
        Anonymous:             0 kB
        """;

    [Fact]
    public void Reads_what_memory_is_counted_by()
    {
        Assert.Equal(
            [
                new Mapping("7f0000000000-7f0020000000", "rw-s", "00:01", 4711, "/memfd:memory-backend-memfd (deleted)", 524288, 30000, 0),
                new Mapping("7f1000000000-7f1008000000", "rw-p", "fe:00", 99, "/var/cache/a template", 131072, 200, 120),
                new Mapping("7f2000000000-7f2010000000", "rw-p", "00:00", 0, "", 262144, 64, 64),
                new Mapping("7f2800000000-7f2808000000", "rw-s", "fe:00", 98, "/var/lib/memory of a machine", 131072, 100, 0),
                new Mapping("7f3000000000-7f3000010000", "r--p", "fe:00", 7, "/usr/lib/libc.so.6", 64, 16, 0),
            ],
            Mapping.Parse(Smaps.Split('\n')));
    }

    [Fact]
    public void Tells_the_files_that_hold_memory()
    {
        var mappings = Mapping.Parse(Smaps.Split('\n')).ToList();
        Assert.Equal([true, false, false, false, false], mappings.Select(mapping => mapping.IsMemfd));
        Assert.Equal([true, false, false, true, false], mappings.Select(mapping => mapping.IsLargeAndWritable));
    }
}
