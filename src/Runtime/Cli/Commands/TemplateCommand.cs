using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Templates;

namespace KataLike.Runtime.Cli.Commands;

internal static class TemplateCommand
{
    public static Command Command { get; } = new("template", "save a booted machine, of which sandboxes then start as copies", RunAsync)
    {
        Arguments = "",
        MinimumArguments = 0,
        MaximumArguments = 0,
        Flags =
        [
            Flag.Boolean("again", "make it even if there is one"),
            Flag.Boolean("remove", "remove all that there are"),
            Flag.Boolean("when-told", "wait for a line on the standard input first, and do nothing if there is none"),
        ],
        Description = """
            A template fits one kernel, initrd, QEMU and configuration; after a change of any of them sandboxes boot until
            there is another. `[template]` of the configuration turns them off.
            """,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var configuration = Configuration.Load(invocation.Global.ConfigurationPath);
        if (invocation.Options.Boolean("when-told") && Files.Read(StandardStreams.Get(0), stackalloc byte[1]) == 0)
            return 0;
        var store = new TemplateStore(configuration.TemplateDirectory);
        if (invocation.Options.Boolean("remove"))
        {
            store.DiscardAll();
            return 0;
        }
        var plan = TemplatePlan.For(configuration)
            ?? throw new RuntimeException("no template for this configuration: it needs machine = \"q35\", and enabled = true in [template]");
        var (state, again) = ("there already", invocation.Options.Boolean("again"));
        if (again || !store.HasAll(plan))
            state = await MakeAsync(plan, store, configuration, invocation.Log.Warning, again) ? "made" : "another process is making it";
        StandardStreams.WriteOutput($"{store.PathOf(plan.Key)}: {state}\n");
        return 0;
    }

    private static async Task<bool> MakeAsync(TemplatePlan plan, TemplateStore store, Configuration configuration, Action<string> log, bool again)
    {
        try
        {
            return await TemplateMaker.MakeAsync(configuration, plan, store, log, again);
        }
        catch (Exception error) when (error is VmException or IOException or UnauthorizedAccessException)
        {
            throw new RuntimeException($"template: {error.Message}", cause: error);
        }
    }
}
