using System.Globalization;
using System.Text;

namespace KataLike.Conformance.Tests;

/// <summary>Both runtimes before all clauses, once for all tests; the table goes to out/test/conformance.txt.</summary>
public sealed class Campaign : IAsyncLifetime
{
    /// <summary>Mode 0711 all the way down: in a user namespace root is somebody else.</summary>
    private readonly string _directory = $"/tmp/klc-{Environment.ProcessId}";

    private IReadOnlyDictionary<Clause, Verdict> _runc = new Dictionary<Clause, Verdict>(), _katalike = new Dictionary<Clause, Verdict>();

    /// <summary>Why nothing can be tested here; null when it can.</summary>
    public string? Missing { get; private set; }

    internal string Repository { get; } = FindRepository();

    internal IReadOnlyDictionary<string, string> Differences { get; private set; } = new Dictionary<string, string>();

    internal string Probe => $"{_directory}/probe";

    internal Verdict Runc(Clause clause) => _runc[clause];

    internal Verdict KataLike(Clause clause) => _katalike[clause];

    internal Stage NewStage(string runtime)
    {
        var directory = $"{_directory}/{runtime}-{Guid.NewGuid():n}";
        Directory.CreateDirectory(directory);
        return new Stage(new OciRuntime(runtime, $"{directory}/state"), directory, Probe);
    }

    public async Task InitializeAsync()
    {
        try
        {
            foreach (var name in (string[])["runc", "katalike"])
                new OciRuntime(name, _directory).Require();
            Skip.IfNot(File.Exists("/usr/bin/gcc"), "gcc is not there");
        }
        catch (SkipException missing)
        {
            Missing = missing.Message;
            return;
        }
        Directory.CreateDirectory(_directory, (UnixFileMode)0b111_001_001);
        await ProbeProgram.CompileAsync(Probe);
        Differences = Specification.ReadDifferences($"{Repository}/docs/specification.md");
        _runc = await new Trial(NewStage("runc"), isRunc: true).RunAsync(Specification.Clauses);
        _katalike = await new Trial(NewStage("katalike"), isRunc: false).RunAsync(Specification.Clauses);
        Directory.CreateDirectory($"{Repository}/out/test");
        await File.WriteAllTextAsync($"{Repository}/out/test/conformance.txt", Table());
    }

    public Task DisposeAsync()
    {
        if (Directory.Exists(_directory))
            Directory.Delete(_directory, recursive: true);
        return Task.CompletedTask;
    }

    internal string Summary() => string.Create(CultureInfo.InvariantCulture,
        $"{Specification.Clauses.Count} clauses; runc: {Count(_runc)}; katalike: {Count(_katalike)}, {Specification.Clauses.Count(Differs)} of them as docs/specification.md says");

    internal bool Differs(Clause clause) => _katalike[clause].Outcome == Outcome.Fail && Differences.ContainsKey(clause.Name);

    private static string Count(IReadOnlyDictionary<Clause, Verdict> verdicts) => string.Join(", ",
        from outcome in Enum.GetValues<Outcome>()
        let count = verdicts.Values.Count(verdict => verdict.Outcome == outcome)
        where count > 0 || outcome == Outcome.Fail
        select $"{count} {outcome switch { Outcome.Pass => "pass", Outcome.Fail => "fail", _ => "n/a" }}");

    private string Table()
    {
        var width = Specification.Clauses.Max(clause => clause.Name.Length);
        var text = new StringBuilder().AppendLine(CultureInfo.InvariantCulture, $"{"clause".PadRight(width)}  runc  katalike");
        foreach (var clause in Specification.Clauses)
        {
            var (runc, ours) = (_runc[clause], _katalike[clause]);
            string[] remarks = [Differs(clause) ? $"listed: {Differences[clause.Name]}" : "", runc.Detail.Length > 0 ? $"runc: {runc.Detail}" : "", ours.Detail.Length > 0 ? $"katalike: {ours.Detail}" : ""];
            text.AppendLine($"{clause.Name.PadRight(width)}  {runc,-4}  {ours,-8}  {string.Join("; ", remarks.Where(remark => remark.Length > 0))}".TrimEnd());
        }
        return text.AppendLine().AppendLine(Summary()).ToString();
    }

    private static string FindRepository()
    {
        var directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "KataLike.sln")))
            directory = Path.GetDirectoryName(directory)!;
        return directory;
    }
}
