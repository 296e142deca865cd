using System.Globalization;
using System.Text;
using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class ListCommand
{
    public static Command Command { get; } = new("list", "lists containers started by katalike with the given root", RunAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags =
        [
            Flag.Text("format, f", "select one of: table or json", "table"),
            Flag.Boolean("quiet, q", "display only container IDs"),
        ],
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var format = invocation.Options.Text("format") ?? "table";
        if (format is not ("table" or "json"))
            throw new RuntimeException("invalid format option");
        var root = new StateRoot(invocation.Global.Root);
        var containers = ContainerState.All(root).ToList();
        if (invocation.Options.Boolean("quiet"))
        {
            StandardStreams.WriteOutput(string.Concat(containers.Select(c => c.Id + "\n")));
            return 0;
        }
        var states = await Task.WhenAll(containers.Select(c => DescribeAsync(root, c)));
        StandardStreams.WriteOutput(format == "json"
            ? Json(states)
            : Table.Format([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], .. states.Select(Row)], minimumWidth: 12));
        return 0;
    }

    /// <summary>One sandbox that does not answer does not hide the others.</summary>
    private static async Task<State> DescribeAsync(StateRoot root, ContainerState container)
    {
        var owner = container.Owner == 0 ? "root" : $"#{container.Owner}";
        try
        {
            return await ContainerStatusQuery.DescribeAsync(root, container, owner);
        }
        catch (SandboxUnreachableException)
        {
            return ContainerStatusQuery.Describe(container, "unknown", owner);
        }
    }

    /// <summary>No containers are null: a nil slice of Go.</summary>
    private static string Json(State[] states) => states.Length == 0
        ? "null\n"
        : $"[{string.Join(',', states.Select(s => Encoding.UTF8.GetString(s.ToUtf8Json())))}]\n";

    private static string[] Row(State s) =>
    [
        s.Id, $"{s.Pid}", s.Status, s.Bundle, s.Created!.Value.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.FFFFFFFZ", CultureInfo.InvariantCulture), s.Owner!,
    ];
}
