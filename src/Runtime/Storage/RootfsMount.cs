namespace KataLike.Runtime.Storage;

/// <summary>One mount of a root file system, as containerd gives it with Create.</summary>
internal sealed record RootfsMount(string Type, string Source, IReadOnlyList<string> Options)
{
    public bool IsBind => Type == "bind" || Options.Contains("bind") || Options.Contains("rbind");
}
