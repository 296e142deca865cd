using KataLike.EndToEnd.Tests.CommandLine;
using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.Volumes;

/// <summary>A program for containers that watches a directory by inotify and says what a file in it holds after each swap.</summary>
internal static class Watcher
{
    private const string Source = """
        #include <stdio.h>
        #include <string.h>
        #include <sys/inotify.h>
        #include <unistd.h>
        int main(int count, char **arguments)
        {
            char buffer[4096] __attribute__((aligned(8)));
            int watch = inotify_init1(0);
            if (inotify_add_watch(watch, arguments[1], IN_MOVED_TO) < 0)
                return perror("inotify_add_watch"), 1;
            puts("watching");
            for (ssize_t size; fflush(stdout), (size = read(watch, buffer, sizeof buffer)) > 0;)
                for (char *at = buffer; at < buffer + size;) {
                    struct inotify_event *event = (struct inotify_event *)at;
                    char text[100] = "";
                    FILE *file = fopen(arguments[2], "r");
                    if (file) { fgets(text, sizeof text, file); fclose(file); }
                    printf("%s: %s\n", event->name, text);
                    at += sizeof *event + event->len;
                }
        }
        """;

    /// <summary>Puts the program into a bundle as /bin/watch.</summary>
    public static async Task InstallAsync(TestBundle bundle)
    {
        var source = $"{bundle.Path}/watch.c";
        await File.WriteAllTextAsync(source, Source);
        var gcc = await HostCommand.RunAsync("gcc", ["-static", "-O1", "-w", "-o", $"{bundle.Rootfs}/bin/watch", source]);
        Assert.True(gcc.ExitCode == 0, gcc.ToString());
    }
}
